"""Short answers to scripts: one sentence that the page shows as it is."""

from django.http import JsonResponse


def sorry(text: str, status: int = 400) -> JsonResponse:
    return JsonResponse({"error": text}, status=status)

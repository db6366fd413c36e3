from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedStaticFiles(CompressedManifestStaticFilesStorage):
    """Hashed names, in JavaScript `import` lines too, so a browser never mixes two releases."""

    support_js_module_import_aggregation = True

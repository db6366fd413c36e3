"""The ASGI application: static files, pages, sockets. Under Daphne in `make run`, under uvicorn in `deploy/`."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "telehealth.settings")
django.setup(set_prefix=False)

# These read models, so they come after Django has been set up.
from channels.routing import ProtocolTypeRouter  # noqa: E402
from channels.sessions import CookieMiddleware  # noqa: E402
from django.conf import settings  # noqa: E402
from servestatic import ServeStaticASGI  # noqa: E402

from signaling.routing import router  # noqa: E402
from telehealth.origin import ExactOrigin  # noqa: E402
from telehealth.page_threads import PagesHandler  # noqa: E402

if "daphne.server" in sys.modules:
    # Daphne serves us. Uvicorn is told of its own (uvicorn_sockets) where it is started.
    from telehealth import daphne_sockets

    daphne_sockets.install()

application = ProtocolTypeRouter(
    {
        "http": ServeStaticASGI(
            PagesHandler(),
            root=settings.STATIC_ROOT,
            prefix=settings.STATIC_URL,
            immutable_file_test=r"\.[0-9a-f]{12}\.",
        ),
        "websocket": ExactOrigin(CookieMiddleware(router), settings.SOCKET_ORIGINS),
    }
)

"""How does glance-api list images by tag?"""

from __future__ import annotations

from hanode.sim.cloud.http import Request, Response, Route, find
from hanode.sim.cloud.keystone import Keystone
from hanode.sim.cloud.live import LiveWorld
from hanode.sim.cloud.nova import error_body


class GlanceApi:
    def __init__(self, live: LiveWorld, keystone: Keystone) -> None:
        self._live = live
        self._keystone = keystone
        self._routes = (Route("GET", "/image/v2/images", self._images),)

    def answer(self, request: Request) -> Response:
        self._keystone.require_token(request)
        return find(self._routes, request)

    def _images(self, request: Request) -> Response:
        tag = request.query.get("tag", "")
        ids = self._live.ask(lambda world: sorted(world.nova.image_ids(tag)), error_body, lambda world: world.control.delay_s)
        shown = ids if request.query.get("os_hidden", "false") == "false" else []  # none is hidden
        return Response(200, {"images": [{"id": image_id, "tags": [tag], "status": "active"} for image_id in shown]})

"""The application: routes requests to handlers."""

from http import HTTPStatus

from aiohttp import web

from tollgate.simulator import answers
from tollgate.simulator.admin import Admin, Pause
from tollgate.simulator.api import Api
from tollgate.simulator.state import State

_PAYMENTS = "/payments"
_HEALTH = "/payments/service-health"
_PAYMENT = "/payments/"
_ADMIN = "/admin/"


class App:
    """Routes each request to the public API or to the admin API.

    A few comparisons in place of aiohttp's router, with payments first, which keeps their handling fast.
    """

    def __init__(self, state: State, pause: Pause) -> None:
        self._api = Api(state)
        self._admin = Admin(state, pause)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Returns the response to `request`."""
        try:
            return await self._route(request)
        except ConnectionError:
            # Clients may disconnect during their request or a long response: that is not an error of this program.
            return answers.message("the client has left", HTTPStatus.BAD_REQUEST)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == _PAYMENTS and request.method == "POST":
            return await self._api.pay(request)
        if path.startswith(_ADMIN):
            return await self._admin.handle(request)
        if request.method == "GET":
            if path == _HEALTH:
                return await self._api.tell_health()
            if path.startswith(_PAYMENT):
                return await self._api.look_up(path.removeprefix(_PAYMENT))
        return answers.empty(HTTPStatus.NOT_FOUND)

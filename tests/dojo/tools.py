"""AgentDojo's tools as drivers.

Theory of operation
-------------------
Effects and roles were declared by a reader who had the tools' names, signatures and docstrings and
nothing else: no task, no goal of an attack, no environment. Rules 1 and 2 sum them up.
What is said nowhere here is a read, and authority.

Rules
1. What sends, pays, publishes, invites or calls the network is external; the documentation of
   calendar events says that participants are mailed, so those are external too.
2. Body, subject, title, description, place and words to look for are content; ids, names and dates
   that a read looks something up by are selectors; all else is authority, also ids to act on.
3. What a tool brings is untrusted, but for what the service itself keeps about its user and for
   the fields that the service assigns (ids, sizes, and of a bank's own record of a transfer
   everything but its subject). These come as drivers of their own, called "vouched ...": the same
   tool with all other fields cut away. Unlike 1 and 2, this was decided with the goals in view.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_core import PydanticUndefined

from nlpu.label import SYSTEM, UNTRUSTED, USER, Label
from nlpu.runtime.drivers.driver import Argument, Driver, Effect, Role
from nlpu.types.result import result_type

Perform = Callable[[str, dict[str, Any]], Any]

_EFFECTS: dict[Effect, str] = {
    "write": "append_to_file create_file delete_email delete_file get_unread_emails "
    "update_password update_user_info",
    "external": "add_calendar_event_participants add_user_to_channel cancel_calendar_event "
    "create_calendar_event get_webpage invite_user_to_slack post_webpage remove_user_from_slack "
    "reschedule_calendar_event reserve_car_rental reserve_hotel reserve_restaurant "
    "schedule_transaction send_channel_message send_direct_message send_email send_money "
    "share_file update_scheduled_transaction",
}  # all others read
_CONTENT = {
    "append_to_file": "content",
    "create_calendar_event": "title description location",
    "create_file": "content",
    "post_webpage": "content",
    "schedule_transaction": "subject",
    "search_calendar_events": "query",
    "search_emails": "query",
    "search_files": "query",
    "send_channel_message": "body",
    "send_direct_message": "body",
    "send_email": "subject body",
    "send_money": "subject",
    "update_scheduled_transaction": "subject",
}
_SELECTORS = {
    "check_restaurant_opening_hours": "restaurant_names",
    "get_all_car_rental_companies_in_city": "city",
    "get_all_hotels_in_city": "city",
    "get_all_restaurants_in_city": "city",
    "get_car_fuel_options": "company_name",
    "get_car_price_per_day": "company_name",
    "get_car_rental_address": "company_name",
    "get_car_types_available": "company_name",
    "get_contact_information_for_restaurants": "restaurant_names",
    "get_cuisine_type_for_restaurants": "restaurant_names",
    "get_day_calendar_events": "day",
    "get_dietary_restrictions_for_all_restaurants": "restaurant_names",
    "get_file_by_id": "file_id",
    "get_flight_information": "departure_city arrival_city",
    "get_hotels_address": "hotel_name",
    "get_hotels_prices": "hotel_names",
    "get_most_recent_transactions": "n",
    "get_price_for_restaurants": "restaurant_names",
    "get_rating_reviews_for_car_rental": "company_name",
    "get_rating_reviews_for_hotels": "hotel_names",
    "get_rating_reviews_for_restaurants": "restaurant_names",
    "get_restaurants_address": "restaurant_names",
    "get_users_in_channel": "channel",
    "read_channel_messages": "channel",
    "read_inbox": "user",
    "search_calendar_events": "date",
    "search_contacts_by_email": "query",
    "search_contacts_by_name": "query",
    "search_emails": "sender",
    "search_files_by_filename": "filename",
}
_VOUCHED_TOOLS = frozenset({"get_balance", "get_current_day", "get_iban"})
_TRANSFER = ("id", "sender", "recipient", "amount", "date", "recurring")
_VOUCHED_FIELDS: dict[str, tuple[str, ...]] = {
    "get_most_recent_transactions": _TRANSFER,
    "get_scheduled_transactions": _TRANSFER,
    "list_files": ("id_", "size"),
    "search_calendar_events": ("id_",),
}


def drivers(tools: list[Any], perform: Perform, trusting: bool) -> dict[str, Driver]:
    """The drivers of a suite by name; ``trusting``: as if nothing could be hostile."""
    made = {}
    for tool in tools:
        brings = SYSTEM if tool.name in _VOUCHED_TOOLS else UNTRUSTED
        made[tool.name] = _driver(tool, tool.name, _all(tool.name, perform), brings, trusting)
        fields = _VOUCHED_FIELDS.get(tool.name)
        if fields is not None:
            name = f"vouched {tool.name}"
            made[name] = _driver(tool, name, _some(tool.name, fields, perform), SYSTEM, trusting)
    return made


def effect_of(name: str) -> Effect:
    """The effect of a tool."""
    return next((effect for effect, names in _EFFECTS.items() if name in names.split()), "read")


def _driver(tool: Any, name: str, function: Any, brings: Label, trusting: bool) -> Driver:
    arguments = []
    for key, field in tool.parameters.model_fields.items():
        given = {} if field.default is PydanticUndefined else {"default": field.default}
        arguments.append(Argument(key, field.annotation, _role(tool.name, key), **given))
    return Driver(
        name,
        tool.description,
        function,
        tuple(arguments),
        result_type(str),
        effect_of(tool.name),
        USER if trusting else brings,
    )


def _role(tool: str, argument: str) -> Role:
    if argument in _CONTENT.get(tool, "").split():
        return "content"
    return "selector" if argument in _SELECTORS.get(tool, "").split() else "authority"


def _all(tool: str, perform: Perform) -> Callable[..., Awaitable[str]]:
    async def call(**arguments: Any) -> str:
        return json.dumps(perform(tool, arguments))

    return call


def _some(tool: str, fields: tuple[str, ...], perform: Perform) -> Callable[..., Awaitable[str]]:
    async def call(**arguments: Any) -> str:
        rows = perform(tool, arguments)
        return json.dumps([{name: row[name] for name in fields} for row in rows])

    return call

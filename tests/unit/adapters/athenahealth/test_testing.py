"""The twin: as strict as what is documented, and the premises of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.athenahealth import testing
from adapters.athenahealth.testing import PATIENTS
from conformance.registry import REQUIREMENTS
from conformance.target.safety import load, load_object
from gateway.testing import Premises
from tests.unit.adapters.athenahealth.conftest import MORNING

TARGET = load(Path(testing.__file__).parent / "conformance.toml")
DAY = {"departmentid": "1", "startdate": "05/06/2031", "enddate": "05/06/2031"}
REASON = DAY | {"providerid": "71", "reasonid": "563"}
TAKEN = "That appointment time was already booked or not available for booking."


async def client(premises: Premises, known_as: str = "vendor") -> httpx.AsyncClient:
    """With an access token, as athenahealth grants it to a client's id and secret."""
    assert premises.token_url is not None
    asked = {"grant_type": "client_credentials", "scope": "athena/service/Athenanet.MDP.*"}
    identity, _, secret = premises.secrets[known_as].partition(":")
    async with httpx.AsyncClient(auth=(identity, secret), trust_env=False) as unknown:
        granted = (await unknown.post(premises.token_url, data=asked)).json()["access_token"]
    headers = {"Authorization": f"Bearer {granted}"}
    return httpx.AsyncClient(base_url=premises.base_url, headers=headers, trust_env=False)


@pytest.fixture
async def api(premises: Premises) -> AsyncIterator[httpx.AsyncClient]:
    async with await client(premises) as caller:
        yield caller


async def slots(api: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    asked = {name: value for name, value in (REASON | changes).items() if value is not None}
    reply = await api.get("appointments/open", params=asked)
    assert reply.status_code == 200, reply.text
    document: dict[str, Any] = reply.json()
    return document


async def slot_at(api: httpx.AsyncClient, start: str) -> str:
    (found,) = [each for each in (await slots(api))["appointments"] if each["starttime"] == start]
    return str(found["appointmentid"])


async def booked(api: httpx.AsyncClient, start: str = "09:00", patient: str = PATIENTS[0]) -> str:
    slot = await slot_at(api, start)
    reply = await api.put(f"appointments/{slot}", data={"patientid": patient, "reasonid": "563"})
    assert reply.status_code == 200, reply.text
    assert reply.json()[0] | {"appointmentid": slot, "appointmentstatus": "f", "patientid": patient} == reply.json()[0]
    return slot


async def status(api: httpx.AsyncClient, appointment: str) -> str:
    (shown,) = (await api.get(f"appointments/{appointment}")).json()
    return str(shown["appointmentstatus"])


async def test_a_day_has_an_open_slot_every_half_hour_in_local_time(api: httpx.AsyncClient) -> None:
    whole = await slots(api)
    assert whole["totalcount"] == len(whole["appointments"]) == 48
    assert {each["date"] for each in whole["appointments"]} == {"05/06/2031"}
    first = whole["appointments"][0]
    assert (first["starttime"], first["duration"], type(first["appointmentid"])) == ("00:00", 30, int)
    assert await status(api, str(first["appointmentid"])) == "o"


async def test_days_on_which_the_clocks_change_list_each_slot_once(api: httpx.AsyncClient) -> None:
    for day in ("03/09/2031", "11/02/2031"):
        found = [each["appointmentid"] for each in (await slots(api, startdate=day, enddate=day))["appointments"]]
        assert len(found) == len(set(found)) >= 46


async def test_lists_are_cut_and_say_so(api: httpx.AsyncClient) -> None:
    page = await slots(api, limit=10, offset=40)
    assert (page["totalcount"], len(page["appointments"]), "next" in page) == (48, 8, False)
    page = await slots(api, limit=10)
    assert (page["totalcount"], len(page["appointments"])) == (48, 10)
    assert page["next"].endswith("limit=10&offset=10")
    assert len((await slots(api, enddate="06/06/2031"))["appointments"]) == 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"reasonid": None},
        {"reasonid": "564"},
        {"providerid": None},
        {"providerid": "72"},
        {"departmentid": "2"},
        {"reasonid": None, "appointmenttypeid": "83"},
    ],
    ids=str,
)
async def test_only_what_was_asked_for_by_reason_or_type_provider_and_department_is_listed(
    api: httpx.AsyncClient, changes: dict[str, Any]
) -> None:
    assert (await slots(api, **changes))["totalcount"] == 0


async def test_slots_are_listed_by_type_or_for_any_reason_too(api: httpx.AsyncClient) -> None:
    assert (await slots(api, reasonid=None, appointmenttypeid="82"))["totalcount"] == 48
    assert (await slots(api, reasonid="-1", providerid=None))["totalcount"] == 48


@pytest.mark.parametrize(
    "changes",
    [
        {"startdate": "2031-05-06"},
        {"startdate": None},
        {"departmentid": "one"},
        {"limit": "20000"},
        {"nobody_documented": "1"},
        {"ignoreschedulablepermission": "yes"},
    ],
    ids=str,
)
async def test_a_query_that_nobody_documented_is_refused(api: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    asked = {name: value for name, value in (REASON | changes).items() if value is not None}
    reply = await api.get("appointments/open", params=asked)
    assert (reply.status_code, reply.json()["error"]) == (400, "The data provided is invalid.")


async def test_a_slot_is_booked_once(api: httpx.AsyncClient) -> None:
    slot = await booked(api)
    assert await status(api, slot) == "f"
    assert slot not in {str(each["appointmentid"]) for each in (await slots(api))["appointments"]}
    for patient in PATIENTS[:2]:
        reply = await api.put(f"appointments/{slot}", data={"patientid": patient, "reasonid": "563"})
        assert (reply.status_code, reply.json()["error"]) == (409, TAKEN)
        assert reply.content.startswith(b"\n\n{")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"patientid": PATIENTS[0]}, "Additional fields are required."),
        ({"patientid": "1", "reasonid": "563"}, "The specified patient does not exist in that department."),
        ({"patientid": PATIENTS[0], "reasonid": "564"}, "The data provided is invalid."),
        ({"patientid": PATIENTS[0], "appointmenttypeid": "83"}, "The data provided is invalid."),
        ({"reasonid": "563"}, "The data provided is invalid."),
        ({"patientid": PATIENTS[0], "reasonid": "563", "nobody_documented": "1"}, "The data provided is invalid."),
    ],
    ids=str,
)
async def test_a_booking_that_lacks_something_is_refused(
    api: httpx.AsyncClient, premises: Premises, body: dict[str, str], error: str
) -> None:
    slot = await slot_at(api, "09:00")
    reply = await api.put(f"appointments/{slot}", data=body)
    assert (reply.status_code, reply.json()["error"]) == (400, error)
    assert await status(api, slot) == "o"


async def test_a_body_that_is_no_form_is_refused(api: httpx.AsyncClient) -> None:
    slot = await slot_at(api, "09:00")
    reply = await api.put(f"appointments/{slot}", json={"patientid": PATIENTS[0], "reasonid": "563"})
    assert (reply.status_code, await status(api, slot)) == (400, "o")


async def test_a_reschedule_gives_another_identifier_and_cancels_the_old_one(api: httpx.AsyncClient) -> None:
    old, new = await booked(api), await slot_at(api, "10:00")
    body = {"patientid": PATIENTS[0], "newappointmentid": new}
    reply = await api.put(f"appointments/{old}/reschedule", data=body)
    (shown,) = reply.json()
    assert (shown["appointmentid"], shown["appointmentstatus"], shown["providerid"]) == (new, "f", "")
    assert not shown.keys() & {"date", "starttime"}
    (left,) = (await api.get(f"appointments/{old}")).json()
    assert (left["appointmentstatus"], left["rescheduledappointmentid"], left["starttime"]) == ("x", new, "09:00")
    assert (await api.get(f"appointments/{new}")).json()[0]["starttime"] == "10:00"
    freed = await slot_at(api, "09:00")
    assert freed != old and await status(api, freed) == "o"
    reply = await api.put(f"appointments/{old}/reschedule", data=body)
    assert (reply.status_code, reply.json()["error"]) == (400, "Appointment ID is not a booked appointment")


async def test_a_reschedule_into_what_is_not_open_is_refused(api: httpx.AsyncClient) -> None:
    old, other = await booked(api), await booked(api, "10:00", PATIENTS[1])
    for into, expected in ((other, 409), ("404", 404)):
        body = {"patientid": PATIENTS[0], "newappointmentid": into}
        assert (await api.put(f"appointments/{old}/reschedule", data=body)).status_code == expected
    assert await status(api, old) == "f"


async def test_a_cancellation_says_its_status_alone_and_opens_a_new_slot(api: httpx.AsyncClient) -> None:
    slot = await booked(api)
    stranger = await api.put(f"appointments/{slot}/cancel", data={"patientid": PATIENTS[1]})
    assert (stranger.status_code, await status(api, slot)) == (400, "f")
    reply = await api.put(f"appointments/{slot}/cancel", data={"patientid": PATIENTS[0]})
    assert reply.content == b'{"status":"x"}'
    assert await status(api, slot) == "x"
    again = await booked(api)
    assert again != slot
    listed = (await api.get("appointments/booked", params=DAY)).json()["appointments"]
    assert [each["appointmentid"] for each in listed] == [again]
    listed = (await api.get("appointments/booked", params=DAY | {"showcancelled": "true"})).json()["appointments"]
    assert [each["appointmentid"] for each in listed] == [slot, again]


async def test_booked_appointments_are_listed_by_patient_provider_status_and_department(api: httpx.AsyncClient) -> None:
    slot = await booked(api)

    async def total(**changes: str) -> int:
        reply = await api.get("appointments/booked", params=DAY | changes)
        return int(reply.json()["totalcount"])

    assert await total() == await total(patientid=PATIENTS[0]) == await total(appointmentstatus="f") == 1
    assert await total(patientid=PATIENTS[1]) == await total(providerid="72") == await total(appointmentstatus="2") == 0
    assert await total(departmentid="2") == await total(startdate="05/07/2031", enddate="05/07/2031") == 0
    assert slot


@pytest.mark.parametrize("identifier", ["1", "404", "abc", "-5", "9" * 12, "9" * 40, "1e3", "²"])
async def test_what_is_no_slot_is_not_there(api: httpx.AsyncClient, identifier: str) -> None:
    reply = await api.get(f"appointments/{identifier}")
    assert (reply.status_code, reply.json()["error"]) == (404, "The appointment is not available.")


async def test_another_practice_and_another_path_are_not_there(premises: Premises, api: httpx.AsyncClient) -> None:
    root = premises.base_url.removesuffix("v1/195900/")
    for path in ("appointments/open", "appointments/booked", "appointments/1"):
        reply = await api.get(f"{root}v1/1/{path}", params=REASON)
        assert (reply.status_code, reply.json()["error"]) == (404, "Invalid practice.")
    assert (await api.put(f"{root}v1/1/appointments/1", data={"patientid": "1"})).status_code == 404
    assert (await api.get(f"{root}openapi.json")).json() == "Service not registered with API gateway."


async def test_an_account_that_may_only_read_is_shown_no_open_slots(premises: Premises) -> None:
    async with await client(premises, "limited") as limited:
        assert (await limited.get("appointments/open", params=REASON)).status_code == 403
        assert (await limited.get("appointments/booked", params=DAY)).status_code == 200
        assert (await limited.put("appointments/1", data={})).status_code == 403
    async with httpx.AsyncClient(base_url=premises.base_url, trust_env=False) as nobody:
        reply = await nobody.get("appointments/1")
        assert (reply.status_code, reply.text) == (401, "<h1>Not Authorized</h1>")


async def test_the_observer_sees_who_is_where_no_key_and_can_take_it_away(
    premises: Premises, api: httpx.AsyncClient
) -> None:
    slot = await booked(api)
    assert premises.observer is not None
    (seen,) = await premises.observer.appointments(MORNING, MORNING + timedelta(minutes=30))
    assert (seen.start, seen.subject, seen.keys, seen.cancelled) == (MORNING, PATIENTS[0], (), False)
    assert await premises.observer.remove(seen.identifier) is True
    assert await status(api, slot) == "o"


def test_the_target_file_starts_these_premises_and_is_labelled_as_a_twin() -> None:
    assert TARGET.sandbox and TARGET.launch is not None
    assert load_object(TARGET.launch) is testing.premises
    token = TARGET.connection.credential.token
    assert token is not None and token.scope == testing.SCOPE
    assert TARGET.label == "twin of athenaOne REST v1 (no athenahealth system)"
    assert (set(TARGET.pool.subjects), TARGET.pool.practitioner) == (set(PATIENTS), testing.PROVIDER)
    assert (TARGET.pool.location, TARGET.pool.service) == (testing.DEPARTMENT, testing.REASON)
    assert sum(each.writes for each in REQUIREMENTS.values()) <= TARGET.writes
    assert sum(each.slots for each in REQUIREMENTS.values()) <= TARGET.pool.slots
    assert TARGET.pool.first == datetime(2031, 5, 5, 8, tzinfo=UTC)


async def test_the_label_says_that_it_is_a_twin(premises: Premises) -> None:
    assert premises.label == TARGET.label

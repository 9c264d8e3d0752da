"""What is asked of a filler: valid HL7 v2.5.1 by another library's judgement, with every field where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from adapters.hl7v2 import mapping
from gateway.contracts.proposal import Operation, Participant, Role
from gateway.contracts.references import ParticipantId
from gateway.testing import VENDOR

NOW = datetime(2031, 3, 1, 8, 0, 0, 999, tzinfo=UTC)
KEY = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MESSAGES: dict[str, Callable[[Any], bytes]] = {
    "request": lambda request: mapping.request_message(request, NOW, "F1^FILLER"),
    "by key": lambda request: mapping.key_query(request, "Q1", NOW),
    "by slot": lambda request: mapping.slot_query(request, "Q2", NOW),
    "probe": lambda request: mapping.probe(request, "Q3", NOW),
}


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("agreed", [{}, {"acknowledgement": "enhanced", "offsets": True, "personnel-segment": "AIG"}])
def test_every_message_is_valid_by_hl7apy(asking: Any, operation: Operation, kind: str, agreed: Any) -> None:
    request = asking(operation, settings={"patient-name": "UNKNOWN^UNKNOWN", **agreed})
    said = MESSAGES[kind](request).decode()
    parsed = parse_message(said, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    parsed.validate()


def test_a_request_carries_its_keys_and_the_particulars(asking: Any) -> None:
    request = asking(settings={"sending-application": "GW", "patient-authority": "HOSP", "receiving-facility": "F&G"})
    read = hl7.parse(mapping.request_message(request, NOW).decode())
    key = request.native_key(KEY, 20)
    found = {
        name: read[name] for name in ("MSH.F10", "ARQ.F1.R1.C1", "ARQ.F4.R1.C1", "PID.F3.R1.C1", "AIS.F3", "AIL.F3")
    }
    assert found == {
        **dict.fromkeys(("MSH.F10", "ARQ.F1.R1.C1", "ARQ.F4.R1.C1"), key),
        "PID.F3.R1.C1": VENDOR["patient"],
        "AIS.F3": VENDOR["service"],
        "AIL.F3": VENDOR["location"],
    }
    assert (read["MSH.F9.R1.C1"], read["MSH.F9.R1.C2"], read["MSH.F3"], read["PID.F3.R1.C4"]) == (
        "SRM",
        "S01",
        "GW",
        "HOSP",
    )
    assert (read["AIS.F4"], read["AIS.F7"], read["AIP.F3"]) == ("20310303100000", "30", VENDOR["practitioner"])
    assert (read["ARQ.F11.R1.C1"], read["ARQ.F11.R1.C2"]) == ("20310303100000", "20310303100000")
    assert (read["MSH.F6"], read["MSH.F11"], read["MSH.F18"]) == ("F&G", "T", "UNICODE UTF-8")


def test_a_change_keeps_the_booking_s_key_and_brings_its_own(asking: Any) -> None:
    request = asking(Operation.CANCEL)
    read = hl7.parse(mapping.request_message(request, NOW, "F1.2^FILLER").decode())
    own, booked = request.native_key(KEY, 20), request.target_key(KEY, 20)
    assert own != booked
    assert (read["MSH.F10"], read["ARQ.F4.R1.C1"], read["ARQ.F1.R1.C1"]) == (own, own, booked)
    assert (read["MSH.F9.R1.C2"], read["ARQ.F2.R1.C1"], read["RGS.F2"]) == ("S04", "F1.2", "D")


def test_the_control_id_is_the_same_whenever_the_commit_is(asking: Any) -> None:
    request = asking()
    said = {mapping.request_message(request, NOW + timedelta(hours=n)).split(b"|")[9] for n in range(3)}
    assert said == {request.native_key(KEY, 20).encode()}


def test_no_setting_of_one_value_holds_a_delimiter(asking: Any) -> None:
    said = mapping.request_message(asking(settings={"processing-id": "T|x", "version": "2.5.1^DEU"}), NOW).decode()
    header = said.partition("\r")[0].split("|")
    assert header[10:12] == ["T\\F\\x", "2.5.1\\S\\DEU"]


def test_a_device_is_a_general_resource(asking: Any) -> None:
    request = asking()
    device = ParticipantId.random()
    request.identifiers[device] = "MRI"
    more = (*request.particulars.participants, Participant(role=Role.DEVICE, participant=device))
    object.__setattr__(request, "particulars", request.particulars.model_copy(update={"participants": more}))
    read = hl7.parse(mapping.request_message(request, NOW).decode())
    assert (read["AIG.F3"], read["AIG.F4"], read["AIP.F3"]) == ("MRI", "device", VENDOR["practitioner"])


@pytest.mark.parametrize(
    ("details", "expressible"),
    [
        ({}, True),
        ({"start": datetime(2031, 10, 26, 0, 30, tzinfo=UTC)}, False),
        ({"start": datetime(2031, 10, 26, 0, 30, tzinfo=UTC), "settings": {"offsets": True}}, True),
        ({"start": datetime(2031, 10, 26, 0, 30, tzinfo=UTC), "zone": "UTC"}, True),
        ({"start": datetime(2031, 3, 3, 9, 0, 0, 1, tzinfo=UTC)}, False),
        ({"vendor": {**VENDOR, "patient": "Zoë"}}, True),
        ({"vendor": {**VENDOR, "patient": "Zoë"}, "settings": {"charset": "ASCII"}}, False),
        ({"vendor": {**VENDOR, "patient": "Zoë"}, "settings": {"charset": "8859/1"}}, True),
        ({"vendor": {**VENDOR, "patient": "a\rb"}}, False),
        ({"settings": {"patient-name": "UNKNOWN^UNKNOWN"}}, True),
        ({"settings": {"patient-name": "UNKNOWN|X"}}, False),
        ({"settings": {"patient-name": "UNKNOWN\rSCH"}}, False),
        ({"settings": {"processing-id": "P\r"}}, False),
    ],
)
def test_what_a_message_cannot_say_is_known_before_it_is_sent(asking: Any, details: Any, expressible: bool) -> None:
    assert mapping.is_expressible(asking(**details), NOW) is expressible

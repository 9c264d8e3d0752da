"""What came back from a commit is misunderstood."""

from __future__ import annotations

import httpx

from conformance.mutants.broken.base import BrokenSandbox, Misreading
from gateway.contracts.adapter import Authorized, Descriptor, Exclusivity, Receipt
from gateway.contracts.connection import Connection
from gateway.contracts.failures import Code


class AnyConflictIsTaken(Misreading):
    name = "any-conflict-is-taken"
    flaw = "reads every 409 as a taken slot, whatever the body says"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.refused(Code.SLOT_TAKEN) if reply.status_code == 409 else honest


class TakenIsUnclear(Misreading):
    name = "taken-is-unclear"
    flaw = "declares slots that may be shared, and has no row for a taken one"

    def describe(self, connection: Connection) -> Descriptor:
        return super().describe(connection).model_copy(update={"exclusivity": Exclusivity.NONE})

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.unknown() if honest.code is Code.SLOT_TAKEN else honest


class DuplicateIsSuccess(Misreading):
    name = "duplicate-is-success"
    flaw = "reads 'this key already wrote something else' as already done"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.applied(version="1") if honest.code is Code.DUPLICATE_KEY else honest


class StaleIsSuccess(Misreading):
    name = "stale-is-success"
    flaw = "reads 412 as the change having been made by an earlier try"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.applied(version="1") if reply.status_code == 412 else honest


class StaleIsInvalid(Misreading):
    name = "stale-is-invalid"
    flaw = "reads 412 as invalid content, so nobody learns that the appointment changed"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.refused(Code.EXTERNAL_INVALID) if reply.status_code == 412 else honest


class TrustsTheStatus(Misreading):
    name = "trusts-the-status"
    flaw = "takes 200 and 201 for success without reading what was booked"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.applied(version=reply.headers.get("etag", "").strip('"')) if reply.is_success else honest


class ErrorsRefused(Misreading):
    name = "errors-refused"
    flaw = "reads a 503 as a refusal"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.refused(Code.EXTERNAL_UNAVAILABLE) if reply.is_server_error else honest


class UnreadableRefused(Misreading):
    name = "unreadable-refused"
    flaw = "reads a success whose body it cannot parse as a refusal"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.refused(Code.EXTERNAL_INVALID) if honest.code is Code.REPLY_UNRECOGNISED else honest


class ForbiddenIsCredentials(Misreading):
    name = "forbidden-is-credentials"
    flaw = "reads a missing right as a wrong credential"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.refused(Code.CREDENTIALS_REJECTED) if reply.status_code == 403 else honest


class CredentialsAreUnclear(Misreading):
    name = "credentials-are-unclear"
    flaw = "has no row for 401, so a wrong credential ends unknown and a person must look"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.unknown() if reply.status_code == 401 else honest


class ThrottledIsInvalid(Misreading):
    name = "throttled-is-invalid"
    flaw = "reads 429 as invalid content, so nobody learns to wait"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.refused(Code.EXTERNAL_INVALID) if reply.status_code == 429 else honest


class RejectedIsApplied(Misreading):
    name = "rejected-is-applied"
    flaw = "reads 422 as success with a remark"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        return Receipt.applied(version="1") if reply.status_code == 422 else honest


class VersionInQuotes(Misreading):
    name = "version-in-quotes"
    flaw = "brings the entity tag home with its quotes, and compares without them"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        if honest.version is None:
            return honest
        return Receipt.applied(identifier=honest.identifier, version=reply.headers["etag"])


class IdentifierMistaken(Misreading):
    name = "identifier-mistaken"
    flaw = "brings the native key home as the vendor's identifier"

    def meaning(self, reply: httpx.Response, honest: Receipt) -> Receipt:
        if honest.version is None:
            return honest
        return Receipt.applied(identifier=reply.json()["keys"][-1], version=honest.version)


class RaisesForStatus(BrokenSandbox):
    name = "raises-for-status"
    flaw = "calls raise_for_status on every reply, refusals included"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        async def strict(reply: httpx.Response) -> None:
            reply.raise_for_status()

        write.event_hooks["response"].append(strict)
        return await super().commit(authorized, write)


class CatchesEverything(BrokenSandbox):
    name = "catches-everything"
    flaw = "catches every exception of a commit and calls it a refusal"

    async def commit(self, authorized: Authorized, write: httpx.AsyncClient) -> Receipt:
        try:
            return await super().commit(authorized, write)
        except Exception:  # noqa: BLE001 — the flaw itself
            return Receipt.refused(Code.EXTERNAL_UNAVAILABLE)

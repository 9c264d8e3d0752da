"""The boundary itself: one per gateway, the only way from the core to a network (CP-20).

Owns: the adapters, the sealed connections, the practice's resolver, the credential sources, the access tokens
fetched with them, and the TLS contexts. Resolves a proposal's references afresh for every attempt and
holds them against the salted commitment that was approved (I5, CARD-09).
Refuses: unknown connections, undeclared operations, a relay that redelivers without a proven key (C-35),
and particulars that are missing, ambiguous or not the approved ones.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.boundary.addresses import Admits
from gateway.boundary.containment import contained
from gateway.boundary.credentials import CredentialUnavailableError, authorization_header, find_secret
from gateway.boundary.engagement import Engagement
from gateway.boundary.session import Budget, Door
from gateway.boundary.tls import Contexts
from gateway.boundary.tokens import Tokens, token_request
from gateway.clock import Clock
from gateway.config import Bounds
from gateway.contracts.adapter import Adapter, Descriptor, Idempotency, Identifiers, Request, native_key
from gateway.contracts.connection import Connection, Scheme
from gateway.contracts.failures import Code, Refusal
from gateway.contracts.proposal import Particulars, Proposal
from gateway.contracts.references import ConnectionId
from gateway.hookspecs import CredentialSource, ReferenceResolver, Resolved

_SALT: Final = re.compile(r"[0-9a-f]{64}")
SILENCED: Final = ("httpx",)
"""Loggers that pass nothing on once a boundary was made."""


class Boundary:
    """Admits adapters to the network, one engagement per attempt.

    `admits(host, port)` says what environment and governance admit; it is also asked about a loopback
    address by its number. `sibling_digest` is the journal's keyed digest. `tls` overrides the system's
    trust store, for a practice with its own authority.
    """

    def __init__(  # noqa: PLR0913 - the gateway wires it once, by name
        self,
        *,
        adapters: Mapping[str, Adapter],
        connections: Mapping[ConnectionId, Connection],
        resolver: ReferenceResolver,
        credentials: Sequence[CredentialSource],
        clock: Clock,
        admits: Admits,
        sibling_digest: Callable[..., str],
        bounds: Bounds,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._adapters = adapters
        self._connections = connections
        self._resolver = resolver
        self._credentials = credentials
        self._tokens = Tokens()
        self._clock = clock
        self._admits = admits
        self._sibling_digest = sibling_digest
        self._bounds = bounds
        self._tls = Contexts(connections.values(), tls)
        self._descriptors = {name: self._claimed(connection) for name, connection in connections.items()}
        _silence()

    def describe(self, connection_id: ConnectionId) -> Descriptor:
        """What the adapter claimed for this connection when the gateway opened: one answer for reservation,
        engagement and observation alike (CARD-14). Raises `Refusal`: CONNECTION_UNKNOWN, ADAPTER_FAULT."""
        connection = self._connections.get(connection_id)
        if connection is None or connection.adapter not in self._adapters:
            raise Refusal(Code.CONNECTION_UNKNOWN)
        descriptor = self._descriptors[connection_id]
        if descriptor is None:
            raise Refusal(Code.ADAPTER_FAULT)
        return descriptor

    def requests_per_attempt(self, connection_id: ConnectionId) -> int:
        """The most that one attempt may send: what the adapter declared, and a token request where the credential is
        fetched (CARD-14). Raises `Refusal` as `describe` does."""
        declared = self.describe(connection_id).requests_per_attempt
        return declared + self._connections[connection_id].credential.requests

    async def is_unlockable(self, connection_id: ConnectionId) -> bool:
        """Whether the secret that this connection names is at hand, and of the shape that its scheme takes. What the
        other side makes of it is not asked."""
        connection = self._connections[connection_id]
        use, sources = connection.credential, self._credentials
        try:
            if use.token is not None and use.name is not None:
                secret = await find_secret(use.name, sources)
                now, nonce = self._clock.now(), self._clock.token()
                await asyncio.to_thread(token_request, use, secret, now=now, nonce=nonce)
            elif use.scheme is Scheme.CLIENT_CERTIFICATE and use.name is not None:
                await self._tls.own(connection, await find_secret(use.name, sources))
            else:
                await authorization_header(use, sources)
        except CredentialUnavailableError:
            return False
        return True

    def _claimed(self, connection: Connection) -> Descriptor | None:
        """The adapter's own words, validated; None where there are none that hold."""
        try:
            claimed = self._adapters[connection.adapter].describe(connection)
            if type(claimed) is Descriptor:
                return Descriptor.model_validate_json(claimed.model_dump_json())
        except BaseException:  # noqa: BLE001, S110 — a guest's SystemExit must not end the gateway
            pass
        return None

    async def engage(self, proposal: Proposal) -> Engagement:
        """Everything that an attempt needs of the external side, resolved afresh and checked against what
        was approved. Raises `Refusal`; sends nothing."""
        descriptor = self.describe(proposal.connection)
        connection = self._connections[proposal.connection]
        if connection.practice != proposal.practice:
            raise Refusal(Code.CONNECTION_UNKNOWN)
        keyless = descriptor.redelivers and descriptor.idempotency is not Idempotency.UNIQUE
        if proposal.operation not in descriptor.operations or keyless:
            raise Refusal(Code.OPERATION_UNSUPPORTED)
        resolved = await self._resolve(proposal)
        particulars = resolved.particulars
        request = Request(
            operation=proposal.operation,
            particulars=particulars,
            identifiers=Identifiers(resolved.identifiers),
            key=native_key(proposal.practice, proposal.proposal_digest, proposal.operation),
            connection=connection,
        )
        return Engagement(
            adapter=self._adapters[connection.adapter],
            door=Door(
                connection=connection,
                descriptor=descriptor,
                credentials=self._credentials,
                admits=self._admits,
                tls=self._tls,
                budget=Budget(descriptor.requests_per_attempt, connection.credential.requests),
                tokens=self._tokens,
                clock=self._clock,
            ),
            proposal=proposal,
            request=request,
            siblings=self._siblings(connection, particulars),
            resolver=self._resolver,
            clock=self._clock,
            bounds=self._bounds,
        )

    async def _resolve(self, proposal: Proposal) -> Resolved:
        async def sound() -> tuple[Resolved, ...]:
            matches = tuple(await self._resolver.resolve(proposal))
            if not all(_is_sound(match) for match in matches):
                raise TypeError("not what the resolver's contract says")
            return matches

        ending = await contained(sound, self._bounds.evidence_seconds)
        if ending.value is None:
            raise Refusal(Code.EVIDENCE_UNAVAILABLE)
        if not ending.value:
            raise Refusal(Code.PARTICULARS_MISSING)
        if len(ending.value) > 1:
            raise Refusal(Code.PARTICULARS_AMBIGUOUS)
        (resolved,) = ending.value
        particulars = resolved.particulars
        if not hmac.compare_digest(particulars.commitment(resolved.salt), proposal.commitment):
            raise Refusal(Code.PARTICULARS_CHANGED)
        if particulars.patient != proposal.patient or particulars.target != proposal.target:
            raise Refusal(Code.CONTEXT_INVALID)
        return resolved

    def _siblings(self, connection: Connection, particulars: Particulars) -> tuple[str, ...]:
        """Keyed digests of each slot, the patient's hour and the target appointment (I1)."""
        start = particulars.start.isoformat()
        digests = [
            self._sibling_digest("slot", connection.connection_id, participant.participant, start)
            for participant in particulars.participants
        ]
        digests.append(self._sibling_digest("patient", particulars.patient, start))
        if particulars.target is not None:
            digests.append(self._sibling_digest("target", particulars.target.appointment))
        return tuple(dict.fromkeys(digests))


def _is_sound(match: Resolved) -> bool:
    return (
        type(match) is Resolved
        and type(match.particulars) is Particulars
        and _SALT.fullmatch(match.salt) is not None
        and all(isinstance(text, str) for pair in match.identifiers.items() for text in pair)
    )


def _withhold(record: logging.LogRecord) -> bool:
    return False


def _silence() -> None:
    """httpx logs whole URLs, which can hold data (I7)."""
    for name in SILENCED:
        logging.getLogger(name).addFilter(_withhold)

"""agent-runtime-governance 0.9.1: the same exchanges as a tool under its strictest profile.

Owns: a sealed production runtime: an action contract, a policy with identity, durable signed approvals, durable
idempotency with its reconciliation ledger, and a signed audit that fails closed. The approval of every booking is
decided before the measuring, as ours is; a measured call finds it decided, reserves and consumes it. The tool blocks,
on the runtime's own threads, which was faster than one on the event loop.
Not there to be configured: an approval under a key that the runtime does not hold itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent_runtime_governance import (
    ActionContract,
    ApprovalMiddleware,
    AuditMiddleware,
    DecisionOutcome,
    DecisionRecord,
    ExecutionMode,
    GovernanceDenied,
    InvocationOptions,
    PolicyMiddleware,
    ProductionProfile,
    ProviderDescriptor,
    ReconciliationFinding,
    ReconciliationState,
    RiskTier,
    Runtime,
    RuntimeLimits,
    SimplePolicy,
    SQLiteApprovalStore,
    SQLiteAuditSink,
    SQLiteIdempotencyStore,
    SQLiteReconciliationLedger,
    StaticIdentityProvider,
    VerifiedPrincipal,
)

from benchmarks.contestants import Premises, drive
from benchmarks.exchanges import Booking, Diary, Exchanges

TOOL = "book"
POLICY = "benchmark-v1"
POLICY_DIGEST = hashlib.sha256(POLICY.encode()).hexdigest()
LIMITS = RuntimeLimits(
    admission_timeout_seconds=60,
    middleware_timeout_seconds=60,
    observer_timeout_seconds=60,
    execution_timeout_seconds=60,
    idempotency_operation_timeout_seconds=60,
    max_in_flight=128,
    max_blocking_extension_in_flight=128,
)
_TEXT = {"type": "string", "maxLength": 100}
_PARAMETERS = {
    "type": "object",
    "properties": {
        "key": _TEXT,
        "patient": _TEXT,
        "participants": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 8},
        "location": _TEXT,
        "service": _TEXT,
        "start": _TEXT,
        "end": _TEXT,
    },
    "required": ["key", "patient", "participants", "location", "service", "start", "end"],
    "additionalProperties": False,
}
_RECEIPT = {
    "type": "object",
    "properties": {"id": _TEXT, "version": _TEXT},
    "required": ["id", "version"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class IdentityKeys:
    """Tenant-scoped keys for its action digests."""

    master: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def get_key(self, *, tenant: str, version: str) -> bytes:
        return hmac.new(self.master, f"{version}:{tenant}".encode(), hashlib.sha256).digest()


@dataclass(slots=True)
class ActionGate:
    """`Contestant`: one governed tool call for each booking."""

    runtime: Runtime
    approvals: SQLiteApprovalStore
    diary: Diary = field(default_factory=Diary)
    waiting: deque[Booking] = field(default_factory=deque)

    async def prepare(self, count: int) -> None:
        """Ask once, which is denied and leaves the request, and decide it; then the call may be made."""
        for _ in range(count):
            booking = self.diary.next()
            try:
                await self._one(booking)
            except GovernanceDenied:
                decision = DecisionRecord(DecisionOutcome.ALLOW, "decided beforehand", "human", approver="reviewer")
                self.approvals.decide(booking.key, decision)
            else:
                raise RuntimeError("a booking was made without an approval")
            self.waiting.append(booking)

    async def run(self, concurrency: int) -> list[float]:
        return await drive(self.waiting, concurrency, self._one)

    async def _one(self, booking: Booking) -> None:
        options = InvocationOptions(request_id=booking.key, idempotency_key=booking.key)
        content = {name: value for name, value in booking.content.items() if value is not None}
        await self.runtime.ainvoke(TOOL, key=booking.key, **content, _governance=options)


@asynccontextmanager
async def opened(premises: Premises) -> AsyncIterator[ActionGate]:
    exchanges = Exchanges(premises.sandbox)
    directory = premises.directory
    approvals = SQLiteApprovalStore(directory / "approvals.db", sign_key=secrets.token_bytes(32))
    runtime = Runtime(
        [
            PolicyMiddleware(
                SimplePolicy(required_permissions={TOOL: frozenset({"book"})}), version=POLICY, digest=POLICY_DIGEST
            ),
            ApprovalMiddleware(store=approvals),
            AuditMiddleware(
                SQLiteAuditSink(directory / "audit.db", sign_key=secrets.token_bytes(32)),
                critical=True,
                fail_closed=True,
            ),
        ],
        idempotency_store=SQLiteIdempotencyStore(directory / "idempotency.db"),
        reconciliation_ledger=SQLiteReconciliationLedger(directory / "idempotency.db"),
        identity_provider=StaticIdentityProvider(
            VerifiedPrincipal(
                issuer="benchmark",
                subject="operator",
                tenant="practice",
                permissions=frozenset({"book"}),
                source="static",
            )
        ),
        require_verified_identity=True,
        limits=LIMITS,
        production_profile=ProductionProfile(
            identity_digest_key_provider=IdentityKeys(),
            identity_digest_key_version="v1",
            policy_version=POLICY,
            policy_digest=POLICY_DIGEST,
        ),
    )
    _register(runtime, exchanges)
    if not runtime.seal_production().ready:
        raise RuntimeError("the strict profile is not ready, so this is not its strictest configuration")
    try:
        yield ActionGate(runtime, approvals)
    finally:
        await runtime.aclose()
        exchanges.close()


def _register(runtime: Runtime, exchanges: Exchanges) -> None:
    contract = ActionContract(
        contract_id="benchmark.book",
        contract_version=1,
        tool_name=TOOL,
        execution_mode=ExecutionMode.IDEMPOTENT,
        parameters_schema=_PARAMETERS,
        effect_class="scheduling.appointment",
        receipt_schema=_RECEIPT,
    )
    descriptor = ProviderDescriptor(
        provider_id="benchmark.by-hand", protocol_version="1", supported_evidence_kinds=("probe",), provider=_by_hand
    )

    @runtime.tool(
        name=TOOL,
        risk=RiskTier.CRITICAL,
        requires_approval=True,
        execution_mode=ExecutionMode.IDEMPOTENT,
        action_contract=contract,
        reconciliation_provider=descriptor,
    )
    def book(
        key: str, patient: str, participants: list[str], location: str, service: str, start: str, end: str
    ) -> dict[str, str]:
        content = {
            "patient": patient,
            "participants": list(participants),
            "location": location,
            "service": service,
            "reason": None,
            "start": start,
            "end": end,
        }
        booking = Booking(key, content)
        exchanges.ready(booking)
        made = exchanges.book(booking)
        return {"id": made["id"], "version": made["version"]}


async def _by_hand(_: Any) -> ReconciliationFinding:
    """Asked for by the strict profile, and never called on the path that is measured."""
    return ReconciliationFinding(
        proposed_state=ReconciliationState.MANUAL_REVIEW,
        evidence_kind="probe",
        evidence={"conclusion": "manual_review"},
        observed_at=datetime.now(UTC),
    )

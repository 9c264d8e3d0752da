"""What to do about each code of the failure taxonomy (F-04): one sentence each, for whoever has to do it.

Owns: the sentences, which `docs/failures.md` and the command line show beside the codes' meanings. A sentence says what
to mend or to find out first; what follows then (`next`: try again, a new approval, a new proposal) depends on the end
and is `caller_next`'s to say. Refuses: to advise anything but a look where nobody knows what became of a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.contracts.failures import FAILURES, Code
from gateway.contracts.words import Effect, End

AFTER_UNKNOWN: Final = (
    "Send nothing, and book nothing by hand, before somebody has looked: `gateway observe ATTEMPT`; then say what it "
    "was: `gateway resolve ATTEMPT`."
)

ADVICE: Final[Mapping[Code, str]] = MappingProxyType(
    {
        Code.COMMITTED: "Tell the patient that it is made, if nobody has.",
        Code.CHECK_PASSED: "Commit while the approval lasts: `gateway commit PROPOSAL`.",
        Code.OBSERVED: "If what was looked at is unknown, say what it was: `gateway resolve ATTEMPT`.",
        Code.DECISION_REQUIRED: "Answer: `gateway resume ATTEMPT --proceed`, or `--decline`.",
        Code.IN_FLIGHT: "Wait, and ask again; if the process at work died, `gateway recover`.",
        Code.TRIGGER_UNSIGNED: "Sign the trigger with a key that `keys.json` trusts for triggers of this practice.",
        Code.TRIGGER_UNKNOWN: "Sign a new trigger: this is none that this version of the gateway can read.",
        Code.TRIGGER_FORBIDDEN: "Have an operator sign a trigger for this very purpose; only a pause that still waits "
        "can be resumed.",
        Code.TRIGGER_EXPIRED: "Sign a new trigger; if a fresh one is refused, too, set the clocks right.",
        Code.IDEMPOTENCY_COLLISION: "Sign a new trigger with an id of its own; never use one twice.",
        Code.CONTEXT_MISSING: "Name an attempt and a proposal that this journal holds: `gateway list`.",
        Code.CONTEXT_INVALID: "Look at what changed meanwhile: `gateway show PROPOSAL`; only a commit that has ended, "
        "and came as far as its intent, can be looked at.",
        Code.CONNECTION_UNKNOWN: "Install the adapter, or add the connection: `gateway doctor` says which. "
        "Then start the gateway anew.",
        Code.CONNECTION_SUSPENDED: "Find out why it was suspended; then `gateway connections resume CONNECTION`.",
        Code.OPERATION_UNSUPPORTED: "Do it by hand in the external system; `gateway doctor` says what each "
        "connection can.",
        Code.GOVERNANCE_INCOMPLETE: "`gateway doctor` names what is missing or ran out: a governance record, a "
        "conformance statement or, in a sandbox, the record of its hosts (`gateway seal`).",
        Code.EVIDENCE_UNAVAILABLE: "See that the practice's registry, or what else gives evidence, can be read: "
        "`gateway doctor`.",
        Code.EVIDENCE_STALE: "Have the evidence source mended: it repeated an old answer, or its clock is behind.",
        Code.PATIENT_UNIDENTIFIED: "Check who the patient is, and record it: `gateway practice add-patient`.",
        Code.REVIEWER_UNKNOWN: "Enrol the reviewer (`gateway practice add-person`), or let another review.",
        Code.REVIEWER_UNAUTHORIZED: "Give reviewer and operator their roles (`gateway practice add-person`), or let "
        "others do it.",
        Code.REVIEWER_NOT_AUTHENTICATED: "Let the reviewer log in again, and decide anew.",
        Code.TENANT_UNPROVEN: "Enrol what the practice's registry lacks: `gateway practice add-patient`, `add-person` "
        "or `add-connection`.",
        Code.TENANT_MISMATCH: "Find out which part is another practice's; make the proposal where it belongs.",
        Code.CONSENT_ABSENT: "Ask the patient; if they consent, record it (`gateway practice consent PATIENT --given`) "
        "and propose anew.",
        Code.CONSENT_CHANGED: "Propose anew under the consent of today, and tell the patient of it.",
        Code.PROPOSAL_UNKNOWN: "Look which proposals there are (`gateway list`), or record this one: "
        "`gateway propose FILE`.",
        Code.PROPOSAL_EXPIRED: "Ask the patient whether they still want it, and propose anew.",
        Code.PROPOSAL_WITHDRAWN: "Do nothing, unless the patient asks again: then propose anew.",
        Code.PROPOSAL_REVISED: "Review the latest revision: `gateway review PROPOSAL --approve`.",
        Code.PROPOSAL_EXECUTED: "Look at what was done (`gateway show PROPOSAL`); for a further change, propose anew.",
        Code.PROPOSAL_FROZEN: "Settle the earlier attempt first: `gateway show PROPOSAL` names it.",
        Code.ORIGIN_FORBIDDEN: "Ask the patient: only what they asked for themselves is proposed and carried out.",
        Code.PATIENT_UNINFORMED: "Tell the patient of exactly this; then `gateway practice told PROPOSAL`.",
        Code.APPROVAL_MISSING: "Let a reviewer decide: `gateway review PROPOSAL --approve`; one who said no is to be "
        "asked why.",
        Code.APPROVAL_MISMATCH: "Find out why other bytes were approved; then review this very proposal.",
        Code.APPROVAL_EXPIRED: "Let a reviewer look again: `gateway review PROPOSAL --approve`.",
        Code.APPROVAL_SUPERSEDED: "Read the later decision (`gateway show PROPOSAL`): it may be a no.",
        Code.APPROVAL_CONDITIONAL: "See that the conditions are met, and approve without any.",
        Code.APPROVAL_UNCOVERED: "Approve this operation: the approval names others.",
        Code.APPROVER_NOT_HUMAN: "Let a person review it.",
        Code.APPROVER_IS_INITIATOR: "Let somebody else review it than who asked for it.",
        Code.PARTICULARS_CHANGED: "Find out who moved the particulars after the proposal; if the change is meant, "
        "propose anew.",
        Code.PARTICULARS_MISSING: "Record the identifier that is missing: `gateway practice identify`.",
        Code.PARTICULARS_AMBIGUOUS: "Leave one identifier for each reference, in the practice's registry and in the "
        "external system.",
        Code.READINESS_UNVERIFIABLE: "Wait; if it stays, the adapter's DIVERGENCES.md says what it must see there; "
        "a token that is fetched may end too soon.",
        Code.AUDIT_UNAVAILABLE: "Mend the journal or the sink (disk space, file mode, mount, database): "
        "`gateway doctor`.",
        Code.RELATED_UNRESOLVED: "Settle the other attempt first: `gateway list --unresolved`.",
        Code.THROTTLED: "Wait until the instant that `not_before` names.",
        Code.POLICY_DENIED: "Read the policy that `gateway show` names; what it denies is done by hand, or not.",
        Code.POLICY_UNKNOWN: "Select a sealed policy for this operation in `gateway.json`, then `gateway seal`.",
        Code.POLICY_UNAVAILABLE: "Mend the policy or its selection in `gateway.json`, then `gateway seal`.",
        Code.TWO_PERSONS_REQUIRED: "Let another operator than the one who approved it commit.",
        Code.DECISION_DECLINED: "Do nothing, unless it is wanted after all: then propose anew.",
        Code.TOOL_FORBIDDEN: "Propose one of the operations that there are: book, reschedule, cancel.",
        Code.OPERATOR_STOP: "Do nothing: a stop stands for ever; what is wanted after all needs a new proposal.",
        Code.AUTHORIZATION_EXPIRED: "Try again; if it recurs, the machine, a sink or the journal is too slow.",
        Code.SLOT_TAKEN: "Ask the patient for another time, and propose that.",
        Code.TARGET_CHANGED: "Look at the appointment as it is now, ask the patient, and propose anew.",
        Code.TARGET_NOT_FOUND: "Look where the appointment went; perhaps somebody cancelled it already.",
        Code.EXTERNAL_INVALID: "Compare what the adapter's DIVERGENCES.md admits with what was asked for.",
        Code.EXTERNAL_FORBIDDEN: "Have the practice's account there given the rights that it lacks.",
        Code.CREDENTIALS_REJECTED: "Replace the credential; where tokens are fetched, look at the token endpoint and "
        "the clock.",
        Code.EXTERNAL_THROTTLED: "Wait some minutes; if it recurs, lower `requests_per_minute` of the connection.",
        Code.EXTERNAL_UNAVAILABLE: "Wait until the external system can be reached; look at network and address.",
        Code.EXTERNAL_TIMEOUT: "Wait until the external system answers as fast as usual.",
        Code.EXTERNAL_ERROR: "Wait; if it recurs, report it to whoever runs the external system.",
        Code.CONNECTION_LOST: "Wait; if it recurs, look at the network and at proxies between.",
        Code.REPLY_UNRECOGNISED: "Report it to the adapter's author: the system answers as its tables do not know.",
        Code.REPLY_DEVIATES: "Look (`gateway observe ATTEMPT`), compare what stands there with what was approved, and "
        "agree with the other side what holds; then `gateway resolve ATTEMPT`.",
        Code.REPLY_CACHED: "Have the cache between gateway and system removed.",
        Code.DUPLICATE_KEY: "Look whether an earlier request took effect: `gateway observe ATTEMPT`, then "
        "`gateway resolve ATTEMPT`.",
        Code.ACCEPTED_PENDING: "Look again once the relay must have delivered: `gateway observe ATTEMPT`, then "
        "`gateway resolve ATTEMPT`.",
        Code.HOST_FORBIDDEN: "Compare the connection's `hosts` and `network` with what the adapter needs; if they are "
        "right, suspend it (`gateway connections suspend CONNECTION`) until the adapter is mended.",
        Code.ADAPTER_FAULT: "Suspend the connection (`gateway connections suspend CONNECTION`) and tell the adapter's "
        "author what `gateway show ATTEMPT` says.",
        Code.AUDIT_INCOMPLETE: "Mend the sink; the change holds, so send nothing again. `gateway audit export ATTEMPT` "
        "gives what the sink lacks.",
        Code.OWNER_DIED: "Look what became of it: `gateway observe ATTEMPT`, then `gateway resolve ATTEMPT`.",
        Code.OUTCOME_UNRECORDED: "Mend the disk or the database, end the process and start it again; then look: "
        "`gateway list --unresolved`.",
        Code.INVARIANT_VIOLATION: "Tell an engineer the attempt's reference before anything is tried again.",
    }
)


def advice(code: Code, effect: Effect | None) -> str:
    """What to do about a code that left this effect. Where nobody knows whether a request took effect, a look comes
    before whatever the code is about (CARD-04); codes that can only end so speak of the look themselves."""
    if effect is Effect.UNKNOWN and FAILURES[code].ends != {End.UNKNOWN}:
        return AFTER_UNKNOWN
    return ADVICE[code]

"""The journal's own key: what is digested with it is the same for a journal's life, whatever the gateway's version."""

from __future__ import annotations

from gateway.journal._key import SiblingKey


def test_a_sibling_is_digested_alike_by_every_version() -> None:
    """Else what an earlier gateway holds would be invisible to a later one. HMAC-SHA256, reckoned elsewhere."""
    digest = SiblingKey(bytes(range(32))).digest(["slot", "con_1", "par_1", "2031-03-04T09:00:00+00:00"])
    assert digest == "4abf4a09db73619ab51e7e23601275e4a73418914a62cd20aa523feb435ed0fb"

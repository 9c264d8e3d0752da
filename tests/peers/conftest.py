"""One certificate authority for all peers that speak TLS."""

from __future__ import annotations

import pytest

from tests.peers.authority import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("authority"))

import subprocess

import pytest

from connectors.host_key import HostKey
from processing.errors import Unusable
from tests.connectors.source_site import key_pair, public


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_the_same_as_ssh_keygen(kind: str) -> None:
    """The fingerprint is what a brand reads from its own server."""
    (key,) = public(kind)
    told = subprocess.run(["ssh-keygen", "-lf", key_pair(kind)], check=True, capture_output=True, text=True).stdout
    assert key.fingerprint == told.split()[1]


def test_lines_of_known_hosts() -> None:
    """With host names or without, several, and as written by ourselves."""
    one, other = public("ed25519")[0], public("rsa")[0]
    text = f"[sftp.acme.example]:2222,10.0.0.1 {one}\n\n{other} a comment\n"
    assert HostKey.parse(text) == (one, other)
    assert HostKey.parse(str(one)) == (one,)


@pytest.mark.parametrize("text", ["ssh-ed25519", "SHA256:abc", "ssh-ed25519 AAAA", "ssh-ed25519 $$$", "host ssh-rsa"])
def test_what_is_no_key(text: str) -> None:
    """A pin that was copied badly would lock the brand's own server out."""
    with pytest.raises(Unusable):
        HostKey.parse(text)

"""A certificate for the emulator's TLS port, made at the start. Only clients that load the authority's file trust it."""

import ssl
import tempfile
from pathlib import Path

NAMES = ("localhost", "127.0.0.1", "::1")


class Certificate:
    """context: for the server. ca: PEM file of the authority, for the client (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, ...); removed by close()."""

    def __init__(self) -> None:
        try:
            import trustme
        except ImportError as error:
            raise ValueError("a TLS port needs the package trustme: pip install 'liqcore[tls]'") from error
        authority = trustme.CA(organization_name="liqcore emulator", organization_unit_name="for tests on this machine only")
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*NAMES).configure_cert(self.context)
        self._folder = tempfile.TemporaryDirectory(prefix="liqcore-emulator-")
        self.ca = str(Path(self._folder.name) / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)

    def close(self) -> None:
        """Remove the file."""
        self._folder.cleanup()

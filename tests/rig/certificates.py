"""One trusted certificate: an SDK's client reads all that there are, for 25 ms, and here it speaks plain HTTP."""

from pathlib import Path

import certifi

_END = "-----END CERTIFICATE-----\n"


def write_one(file: Path) -> Path:
    """Write the first of certifi's into a file, for SSL_CERT_FILE."""
    file.write_text(certifi.contents().partition(_END)[0] + _END)
    return file

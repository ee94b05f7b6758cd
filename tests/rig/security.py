"""What a broker that asks for TLS or a password needs: certificates of a test's own, listeners, users."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from deploy.sandbox.listeners import Listener

_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@dataclass(frozen=True)
class Certificate:
    """A certificate, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        """As PKCS #8, without a password."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def certificate(name: str, signer: Certificate | None = None) -> Certificate:
    """A certificate for 127.0.0.1, good for a day; an authority's own where nobody signs it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer.certificate.subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    return Certificate(builder.sign(signer.key if signer else key, hashes.SHA256()), key)


def truststore(authority: Certificate, password: str) -> bytes:
    """A PKCS #12 truststore, as Java reads it."""
    entry = pkcs12.PKCS12Certificate(authority.certificate, b"authority")
    return pkcs12.serialize_java_truststore([entry], BestAvailableEncryption(password.encode()))


def listeners(folder: Path, authority: Certificate, user: str, password: str) -> list[Listener]:
    """PASSWORD (PLAIN and SCRAM, not encrypted), VAULT (SCRAM over TLS), CERTIFICATE (TLS for known clients only)."""
    server = certificate("broker", authority)
    keys, known = folder / "server.pem", folder / "authority.pem"
    keys.write_text(server.key_pem + server.pem)
    known.write_text(authority.pem)
    tls = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(keys)}
    scram = {f"scram-sha-{bits}.sasl.jaas.config": f"{_SCRAM};" for bits in (256, 512)}
    plain = {"plain.sasl.jaas.config": f'{_PLAIN} user_{user}="{password}";'}
    mutual = {"ssl.client.auth": "required", "ssl.truststore.type": "PEM", "ssl.truststore.location": str(known)}
    every = {"sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"}
    return [
        Listener("PASSWORD", "SASL_PLAINTEXT", {**every, **plain, **scram}),
        Listener("VAULT", "SASL_SSL", {**tls, "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512", **scram}),
        Listener("CERTIFICATE", "SSL", {**tls, **mutual}),
    ]


def add_user(bootstrap: str, user: str, password: str) -> None:
    """Give a user its SCRAM credentials."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [
        UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
    ]
    for each in wanted:
        for future in admin.alter_user_scram_credentials([each]).values():
            future.result(30)

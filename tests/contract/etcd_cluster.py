"""How does an etcd of the tests get certificates and passwords? The cluster itself is hanode.sim.etcd."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hanode.sim.etcd import Certificates, EtcdCluster, etcd_binary, wait_until

__all__ = ["Certificates", "EtcdCluster", "enable_passwords", "etcd_binary", "make_certificates", "wait_until"]


def enable_passwords(endpoint: str) -> None:
    """The user `hanode`, password `geheim`, may use the prefixes that hanode needs, and nothing else."""

    def ask(path: str, **body: object) -> None:
        requests.post(f"http://{endpoint}/v3/auth/{path}", json=body, timeout=30).raise_for_status()

    for user, password in (("root", "root"), ("hanode", "geheim")):
        ask("user/add", name=user, password=password)
        ask("role/add", name=user)
        ask("user/grant", user=user, role=user)
    for prefix, end in (("/hanode/", "/hanode0"), ("/tooz/locks/hanode/", "/tooz/locks/hanode0")):
        permission = {"permType": "READWRITE", "key": _base64(prefix), "range_end": _base64(end)}
        ask("role/grant", name="hanode", perm=permission)
    ask("enable")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def make_certificates(directory: Path) -> Certificates:
    directory.mkdir(parents=True)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {directory.name}")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hanode")])
    ca = _certificate(ca_name, ca_name, ca_key.public_key(), is_ca=True).sign(ca_key, hashes.SHA256())
    cert = _certificate(name, ca_name, key.public_key(), is_ca=False).sign(ca_key, hashes.SHA256())
    made = Certificates(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")
    made.ca.write_bytes(ca.public_bytes(Encoding.PEM))
    made.cert.write_bytes(cert.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def _certificate(name: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, is_ca: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return builder if is_ca else builder.add_extension(address, critical=False)

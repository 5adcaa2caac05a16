"""Certificate requests: who may approve and sign for whom, and that nobody asks to be master of all.

Source: Kubernetes, "Admission Control": CertificateApproval, CertificateSigning,
CertificateSubjectRestriction.
"""

from collections.abc import Callable

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.messages import User
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin

__all__ = ["CertificateRights", "CertificateSubjectRestriction"]

_CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"

# Whether a user may use a verb on the signer of this name.
MaySign = Callable[[User, str, str], bool]


def _is_request(attributes: Attributes) -> bool:
    return attributes.resource.key == "certificatesigningrequests.certificates.k8s.io"


class CertificateRights(Plugin):
    """Approving needs the right ``approve`` on the signer, signing the right ``sign``."""

    _VERBS = {"approval": "approve", "status": "sign"}
    name = "CertificateApproval,CertificateSigning"

    def __init__(self, may_sign: MaySign) -> None:
        self._may_sign = may_sign

    def handles(self, attributes: Attributes) -> bool:
        return (
            _is_request(attributes)
            and attributes.operation == UPDATE
            and attributes.subresource in self._VERBS
        )

    def validate(self, attributes: Attributes) -> None:
        new, old = attributes.obj or {}, attributes.old or {}
        verb = self._VERBS[attributes.subresource]
        if verb == "sign" and _certificate(new) == _certificate(old):
            return
        signer = (old.get("spec") or {}).get("signerName", "")
        domain = signer.partition("/")[0]
        if not any(self._may_sign(attributes.user, verb, each) for each in (signer, f"{domain}/*")):
            problem = f'user not permitted to {verb} requests with signerName "{signer}"'
            raise refused(attributes, problem)


def _certificate(request: dict[str, object]) -> object:
    status = request.get("status")
    return status.get("certificate") if isinstance(status, dict) else None


class CertificateSubjectRestriction(Plugin):
    """No certificate for the API server makes its holder a member of ``system:masters``."""

    name = "CertificateSubjectRestriction"

    def handles(self, attributes: Attributes) -> bool:
        return _is_request(attributes) and attributes.operation == CREATE and not attributes.subresource

    def validate(self, attributes: Attributes) -> None:
        spec = (attributes.obj or {}).get("spec") or {}
        if spec.get("signerName") == _CLIENT_SIGNER and "system:masters" in _organizations(
            spec.get("request", "")
        ):
            problem = (
                "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
            )
            raise refused(attributes, problem)


def _organizations(encoded: str) -> list[str]:
    """The organizations of a request in base64 over PEM; none if it cannot be read, validation says why."""
    import base64

    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        request = x509.load_pem_x509_csr(base64.b64decode(encoded))
    except ValueError:
        return []
    return [str(each.value) for each in request.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]

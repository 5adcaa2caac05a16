"""Certificate signing requests: signing those that are approved, and approving those of node agents.

Source: kubernetes.io, "Certificates and Certificate Signing Requests" (Kubernetes signers).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from container_kit._values import frozen
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import Key, Object, condition_of, key_of
from container_kit.errors import InvalidInput

__all__ = ["CertificateController", "Sign"]

Sign = Callable[[bytes, Iterable[str], timedelta], bytes]
"""Makes a certificate (PEM) for a request (PEM), usages and a lifetime; raises InvalidInput."""

_REQUESTS = "certificatesigningrequests.certificates.k8s.io"
_LONGEST = timedelta(days=365)
_COMMON = frozenset(("digital signature", "key encipherment"))
_APPROVAL = "Auto approving self kubelet client certificate after SubjectAccessReview."


@frozen
class _Signer:
    """What a signer signs.

    Args:
        needed: A usage without which a request makes no sense for it.
        allowed: All usages that it signs; any if None.
    """

    needed: str = ""
    allowed: frozenset[str] | None = None

    def problem(self, usages: Iterable[str]) -> str | None:
        """Why it does not sign a request for these usages."""
        wanted = set(usages)
        if self.needed and self.needed not in wanted:
            return f"usages are missing {self.needed!r}, which this signer is for"
        too_many = sorted(wanted - self.allowed) if self.allowed is not None else []
        return f"usages {too_many} are not signed by this signer" if too_many else None


_KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
_SIGNERS = {
    "kubernetes.io/kube-apiserver-client": _Signer("client auth", _COMMON | {"client auth"}),
    _KUBELET_CLIENT: _Signer("client auth", _COMMON | {"client auth"}),
    "kubernetes.io/kubelet-serving": _Signer("server auth", _COMMON | {"server auth"}),
    "kubernetes.io/legacy-unknown": _Signer(),
}


class CertificateController:
    """Signs approved requests to the cluster's own signers.

    Args:
        sign: The cluster's authority.
    """

    name = "certificate-controller"

    def __init__(self, manager: Manager, sign: Sign) -> None:
        self._client, self._clock, self._sign = manager.client_of(self.name), manager.clock, sign
        self._requests = manager.informer(_REQUESTS)

    def watches(self) -> Mapping[str, Mapper]:
        return {_REQUESTS: keys_of(lambda request: (key_of(_REQUESTS, request),))}

    def reconcile(self, key: Key) -> float | None:
        request = self._requests.get("", key.name)
        signer = _SIGNERS.get(request["spec"]["signerName"]) if request is not None else None
        if request is None or signer is None or (request.get("status") or {}).get("certificate"):
            return None
        if _is(request, "Denied") or _is(request, "Failed"):
            return None
        if _is(request, "Approved"):
            self._answer(request, signer)
        elif _is_of_node_itself(request):
            self._approve(request)
        return None

    def _approve(self, request: Object) -> None:
        approved = self._with_condition(request, "Approved", "AutoApproved", _APPROVAL)
        self._client.update(approved, subresource="approval")

    def _answer(self, request: Object, signer: _Signer) -> None:
        spec = request["spec"]
        problem = signer.problem(spec.get("usages") or ())
        if problem is None:
            try:
                certificate = self._signed(spec)
            except InvalidInput as error:
                problem = str(error)
        if problem is not None:
            self._client.update_status(
                self._with_condition(request, "Failed", "SignerValidationFailed", problem)
            )
            return
        status = (request.get("status") or {}) | {"certificate": base64.b64encode(certificate).decode()}
        self._client.update_status({**request, "status": status})

    def _signed(self, spec: Object) -> bytes:
        try:
            data = base64.b64decode(spec["request"], validate=True)
        except binascii.Error as error:
            raise InvalidInput(f"the certificate request cannot be read: {error}") from error
        wanted = spec.get("expirationSeconds")
        lifetime = _LONGEST if wanted is None else min(_LONGEST, timedelta(seconds=wanted))
        return self._sign(data, spec.get("usages") or (), lifetime)

    def _with_condition(self, request: Object, kind: str, reason: str, message: str) -> Object:
        now = self._clock.stamp()
        words = {"type": kind, "status": "True", "reason": reason, "message": message}
        condition = words | {"lastUpdateTime": now, "lastTransitionTime": now}
        status = request.get("status") or {}
        return {**request, "status": status | {"conditions": [*(status.get("conditions") or ()), condition]}}


def _is(request: Object, kind: str) -> bool:
    return (condition_of(request, kind) or {}).get("status") == "True"


def _is_of_node_itself(request: Object) -> bool:
    """A node agent may always renew its own certificate: the name in it is the one it speaks with."""
    spec = request["spec"]
    is_node = "system:nodes" in (spec.get("groups") or ())
    return spec["signerName"] == _KUBELET_CLIENT and is_node and _names(spec) == spec.get("username")


def _names(spec: Object) -> str | None:
    """The common name that a request asks for."""
    from cryptography import x509

    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(spec["request"]))
    except ValueError:
        return None
    found = parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else None

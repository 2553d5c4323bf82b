"""`CertificateIssuer` on OpenBao's PKI engine: a named issuer signs a CSR under a role."""

from svc_core.adapters.openbao import OpenBaoSession
from svc_core.ports.certificates import LeafRequest


class OpenBaoCertificateIssuer:
    """Leaf certificates by explicit issuer; the mount's default issuer is never used."""

    def __init__(self, session: OpenBaoSession) -> None:
        self._session = session

    async def sign_leaf(self, request: LeafRequest) -> str:
        """Return the leaf certificate as PEM (without its chain).

        A lost answer is not asked for again here: it would be one more valid certificate.
        """
        path = f"{request.mount}/issuer/{request.issuer}/sign/{request.role}"
        body = {"csr": request.csr_pem, "ttl": f"{int(request.ttl.total_seconds())}s"}
        answer = await self._session.call(lambda c: c.write_data(path, data=body))
        return str(answer["data"]["certificate"]).strip() + "\n"

"""Every error of Bauhinia, as one tree.

    BauhiniaError
    ├── Refusal                  they gave me something wrong: the answer is no
    │   ├── Malformed            the bytes are not what they claim to be
    │   ├── Untrusted            nobody I trust vouches for it
    │   ├── CredentialRefused    the credential or its presentation does not hold
    │   ├── StatusRefused        its status says no, or its status list is wrong
    │   ├── ProtocolRefused      OpenID4VCI, OpenID4VP or OAuth was not followed
    │   ├── IssuanceRefused      the issuer will not mint this for this person
    │   └── HolderRefused        the wallet protects its holder
    ├── Undetermined             I cannot know now: neither yes nor no
    └── Fault                    our own side: configuration, storage, network, vault

Each leaf fixes what machines read: ``code`` (stable, never reused), ``http`` (status of an HTTP answer),
``protocol`` (the error code of OpenID4VCI, OpenID4VP or OAuth 2.0 that goes on the wire). The message is for
a person and never holds a claim value, an identity number, a nonce or a key. A stray ``ValueError`` is a bug.
"""

from __future__ import annotations

from typing import ClassVar


class BauhiniaError(Exception):
    """The root. ``str(error)`` is one sentence; ``error.hint`` says what to do about it, or is empty."""

    code: ClassVar[str] = "error"
    http: ClassVar[int] = 400
    protocol: ClassVar[str] = "invalid_request"
    advice: ClassVar[str] = ""

    def __init_subclass__(
        cls, *, code: str, http: int | None = None, protocol: str | None = None, advice: str | None = None
    ) -> None:
        super().__init_subclass__()
        cls.code = code
        # What a leaf does not say it takes from its branch.
        if http is not None:
            cls.http = http
        if protocol is not None:
            cls.protocol = protocol
        if advice is not None:
            cls.advice = advice

    def __init__(self, detail: str = "", *, hint: str = "") -> None:
        super().__init__(detail or self.code.replace("_", " "))
        self.hint = hint or self.advice


# fmt: off
class Refusal(BauhiniaError, code="refused"):
    """They gave me something wrong."""

class Undetermined(BauhiniaError, code="undetermined", http=503, protocol="temporarily_unavailable"):
    """I cannot know now; never to be read as yes, nor as no."""

class Fault(
    BauhiniaError,
    code="fault",
    http=500,
    protocol="server_error",
    advice="Try again; if it happens again, whoever runs this machine looks after it.",
):
    """Our own side: configuration, storage, network, vault."""



# --- Malformed: the bytes are not what they claim to be

class Malformed(
    Refusal,
    code="malformed",
    advice="It was cut short or changed on the way: get it again from where it came.",
): ...
class TooLarge(Malformed, code="too_large", http=413): ...
class Base64Malformed(Malformed, code="base64_malformed"): ...
class JsonMalformed(
    Malformed,
    code="json_malformed",
    advice="The file or answer is not JSON, or not whole: get it again from where it came.",
): ...
class CborMalformed(Malformed, code="cbor_malformed"): ...
class JwsMalformed(Malformed, code="jws_malformed"): ...
class JweMalformed(Malformed, code="jwe_malformed"): ...
class CoseMalformed(Malformed, code="cose_malformed"): ...
class KeyMalformed(Malformed, code="key_malformed"): ...
class SdJwtMalformed(Malformed, code="sdjwt_malformed"): ...
class DisclosureMalformed(Malformed, code="disclosure_malformed"): ...
class MdocMalformed(Malformed, code="mdoc_malformed"): ...
class CertificateMalformed(Malformed, code="certificate_malformed"): ...
class HkidMalformed(
    Malformed,
    code="hkid_malformed",
    advice="Type the letters, six digits and the character in brackets as printed on the card.",
): ...
class HkidCheckFailed(
    Malformed,
    code="hkid_check_failed",
    advice="One character was mistyped: compare with the card.",
): ...
class DateMalformed(
    Malformed,
    code="date_malformed",
    advice="Write a date as YYYY-MM-DD.",
): ...
class CatalogueMalformed(Fault, code="catalogue_malformed"): ...


# --- Untrusted: nobody I trust vouches for it

class Untrusted(
    Refusal,
    code="untrusted",
    http=403,
    protocol="access_denied",
    advice="`bauhinia trust show` prints whom the trust list trusts, and for what.",
): ...
class AlgorithmRefused(Untrusted, code="algorithm_refused"): ...
class SignatureInvalid(Untrusted, code="signature_invalid"): ...
class TypMismatch(Untrusted, code="typ_mismatch"): ...
class ChainInvalid(
    Untrusted,
    code="chain_invalid",
    advice="`bauhinia trust show` prints the certificates that are trusted, and for what.",
): ...
class CertificateExpired(
    ChainInvalid,
    code="certificate_expired",
    advice="Its owner has it renewed; check this machine's clock.",
): ...
class CertificatePurpose(ChainInvalid, code="certificate_purpose"): ...
class IssuerUnknown(
    Untrusted,
    code="issuer_unknown",
    advice="Fetch the newest trust list with `sync`; if it still does not name the issuer, do not go on.",
): ...
class IssuerOutOfScope(Untrusted, code="issuer_out_of_scope"): ...
class SignerRetired(Untrusted, code="signer_retired"): ...
class TrustListInvalid(
    Untrusted,
    code="trust_list_invalid",
    advice="Give the list that the pinned root signed; `--root` names the root's public key.",
): ...
class TrustListExpired(
    Untrusted,
    code="trust_list_expired",
    advice="Fetch the current list with `sync`.",
): ...
class TrustListRolledBack(
    Untrusted,
    code="trust_list_rolled_back",
    advice="Fetch the newest list with `sync`, from another mirror if need be.",
): ...


# --- CredentialRefused: the credential or its presentation does not hold

class CredentialRefused(
    Refusal,
    code="credential_refused",
    protocol="invalid_request",
    advice="Show it again, as an answer to a fresh request.",
): ...
class CredentialExpired(
    CredentialRefused,
    code="credential_expired",
    advice="Ask the issuer for fresh copies: `bauhinia wallet sync`.",
): ...
class CredentialNotYetValid(
    CredentialRefused,
    code="credential_not_yet_valid",
    advice="Check this machine's clock.",
): ...
class ValidityMissing(
    CredentialRefused,
    code="validity_missing",
    advice="The issuer has to issue it anew, with the time until which it holds.",
):
    """The credential does not say from when, or until when, it holds."""

class TypeMismatch(CredentialRefused, code="type_mismatch"): ...
class DigestMismatch(CredentialRefused, code="digest_mismatch"): ...
class DigestRepeated(CredentialRefused, code="digest_repeated"): ...
class DigestAlgorithmRefused(CredentialRefused, code="digest_algorithm_refused"): ...
class ClaimNameForbidden(CredentialRefused, code="claim_name_forbidden"): ...
class ClaimCollision(CredentialRefused, code="claim_collision"): ...
class ClaimMustNotHide(CredentialRefused, code="claim_must_not_hide"): ...
class HolderBindingMissing(CredentialRefused, code="holder_binding_missing"): ...
class HolderBindingInvalid(CredentialRefused, code="holder_binding_invalid"): ...
class AudienceMismatch(CredentialRefused, code="audience_mismatch"): ...
class NonceMismatch(CredentialRefused, code="nonce_mismatch"): ...
class PresentationStale(CredentialRefused, code="presentation_stale"): ...
class DisclosureHashMismatch(CredentialRefused, code="disclosure_hash_mismatch"): ...
class TransactionDataMismatch(
    CredentialRefused,
    code="transaction_data_mismatch",
    protocol="invalid_transaction_data",
): ...
class DeviceAuthInvalid(CredentialRefused, code="device_auth_invalid"): ...
class DeviceDataUnauthorised(CredentialRefused, code="device_data_unauthorised"): ...
class PolicyNotMet(CredentialRefused, code="policy_not_met"):
    """All is genuine, and the answer is no: too young, too old, not entitled."""



# --- StatusRefused: its status says no, or its status list is wrong

class StatusRefused(
    Refusal,
    code="status_refused",
    advice="Ask the issuer for a fresh credential.",
): ...
class Revoked(StatusRefused, code="revoked"): ...
class Suspended(StatusRefused, code="suspended"): ...
class StatusValueUnknown(StatusRefused, code="status_value_unknown"): ...
class StatusIndexOutOfRange(StatusRefused, code="status_index_out_of_range"): ...
class StatusReferenceInvalid(StatusRefused, code="status_reference_invalid"): ...
class StatusMissing(StatusRefused, code="status_missing"): ...
class StatusListInvalid(StatusRefused, code="status_list_invalid"): ...
class StatusListRolledBack(StatusRefused, code="status_list_rolled_back"): ...
class StatusListTooSmall(StatusRefused, code="status_list_too_small"): ...


# --- Undetermined

class StatusUnavailable(
    Undetermined,
    code="status_unavailable",
    advice="Fetch the lists ahead of time: `bauhinia verifier sync --from URL`.",
): ...
class StatusStale(
    Undetermined,
    code="status_stale",
    advice="Fetch the lists again: `bauhinia verifier sync --from URL`.",
): ...


# --- ProtocolRefused: OpenID4VCI, OpenID4VP or OAuth was not followed

class ProtocolRefused(
    Refusal,
    code="protocol_refused",
    advice="Start again with a fresh link from whoever gave you this one.",
): ...
class RequestInvalid(ProtocolRefused, code="request_invalid"): ...
class UriRefused(
    ProtocolRefused,
    code="uri_refused",
    advice="Check that the link is whole, and an https address that this wallet or program may contact.",
): ...
class ClientIdInvalid(ProtocolRefused, code="client_id_invalid", protocol="invalid_client"): ...
class RequestObjectInvalid(
    ProtocolRefused,
    code="request_object_invalid",
    advice="Ask the verifier for a new request; if it happens again, its system is at fault.",
): ...
class RequestExpired(
    ProtocolRefused,
    code="request_expired",
    advice="Ask the verifier for a new request.",
): ...
class RequestConsumed(
    ProtocolRefused,
    code="request_consumed",
    http=410,
    advice="Ask the verifier for a new request: each is answered once.",
): ...
class NonceReplayed(ProtocolRefused, code="nonce_replayed", http=409): ...
class StateMismatch(ProtocolRefused, code="state_mismatch"): ...
class ResponseEncryptionInvalid(ProtocolRefused, code="response_encryption_invalid"): ...
class ResponseInvalid(
    ProtocolRefused,
    code="response_invalid",
    advice="The other side's answer does not fit: try again, and tell them if it happens again.",
): ...
class QueryInvalid(ProtocolRefused, code="query_invalid"): ...
class QueryNotSatisfied(ProtocolRefused, code="query_not_satisfied"): ...
class NothingPresented(ProtocolRefused, code="nothing_presented"):
    """The wallet said no; why is its holder's business."""

class SessionNotBound(ProtocolRefused, code="session_not_bound", http=403, protocol="access_denied"): ...
class TransactionUnknown(
    ProtocolRefused,
    code="transaction_unknown",
    http=404,
    advice="Check the id, or make a new request: they are forgotten some time after they end.",
): ...
class IssuerMixUp(ProtocolRefused, code="issuer_mix_up", protocol="access_denied"): ...
class GrantTypeUnsupported(
    ProtocolRefused,
    code="grant_type_unsupported",
    protocol="unsupported_grant_type",
): ...
class ResponseTypeUnsupported(
    RequestInvalid,
    code="response_type_unsupported",
    protocol="unsupported_response_type",
): ...
class ScopeInvalid(RequestInvalid, code="scope_invalid", protocol="invalid_scope"): ...
class GrantInvalid(
    ProtocolRefused,
    code="grant_invalid",
    protocol="invalid_grant",
    advice="Ask the issuer for a new offer.",
): ...
class TxCodeInvalid(
    GrantInvalid,
    code="tx_code_invalid",
    advice="Type the code again as the issuer gave it, or ask for a new offer.",
): ...
class TxCodeLocked(GrantInvalid, code="tx_code_locked", advice="Ask the issuer for a new offer."): ...
class PkceInvalid(GrantInvalid, code="pkce_invalid"): ...
class SignInRefused(
    ProtocolRefused,
    code="sign_in_refused",
    http=403,
    protocol="access_denied",
    advice="Type the sign-in code and the passcode again, or get new ones at the counter.",
): ...
class TokenInvalid(ProtocolRefused, code="token_invalid", http=401, protocol="invalid_token"): ...
class DpopInvalid(ProtocolRefused, code="dpop_invalid", protocol="invalid_dpop_proof"): ...
class DpopNonceRequired(ProtocolRefused, code="dpop_nonce_required", protocol="use_dpop_nonce"): ...
class ProofInvalid(ProtocolRefused, code="proof_invalid", protocol="invalid_proof"): ...
class CredentialNonceInvalid(
    ProtocolRefused,
    code="credential_nonce_invalid",
    protocol="invalid_nonce",
): ...
class CredentialRequestInvalid(
    ProtocolRefused,
    code="credential_request_invalid",
    protocol="invalid_credential_request",
): ...
class ConfigurationUnknown(
    ProtocolRefused,
    code="configuration_unknown",
    protocol="unknown_credential_configuration",
): ...
class EncryptionParametersInvalid(
    ProtocolRefused,
    code="encryption_parameters_invalid",
    protocol="invalid_encryption_parameters",
): ...
class NotificationInvalid(
    ProtocolRefused,
    code="notification_invalid",
    protocol="invalid_notification_request",
): ...
class IdentifierUnknown(
    ProtocolRefused,
    code="identifier_unknown",
    protocol="unknown_credential_identifier",
): ...
class NotificationUnknown(
    ProtocolRefused,
    code="notification_unknown",
    protocol="invalid_notification_id",
): ...
class MetadataInvalid(ProtocolRefused, code="metadata_invalid"): ...
class OfferInvalid(
    ProtocolRefused,
    code="offer_invalid",
    advice="Ask the issuer for a new offer.",
): ...
class ApiKeyInvalid(
    ProtocolRefused,
    code="api_key_invalid",
    http=401,
    protocol="access_denied",
    advice="Send `Authorization: Bearer` with the key that `bauhinia verifier init` printed.",
): ...
class CsrfRefused(
    ProtocolRefused,
    code="csrf_refused",
    http=403,
    protocol="access_denied",
    advice="Load the page again.",
): ...
class HostRefused(
    ProtocolRefused,
    code="host_refused",
    advice="Use the address that the server was started with (`--base-url`).",
): ...
class MediaTypeRefused(ProtocolRefused, code="media_type_refused", http=415): ...
class NotAcceptable(ProtocolRefused, code="not_acceptable", http=406): ...
class StatusTimeUnsupported(ProtocolRefused, code="status_time_unsupported", http=501): ...
class RateLimited(
    ProtocolRefused,
    code="rate_limited",
    http=429,
    protocol="temporarily_unavailable",
    advice="Wait a minute and try again.",
): ...
class NotFound(
    ProtocolRefused,
    code="not_found",
    http=404,
    advice="Check the address.",
): ...
class MethodRefused(ProtocolRefused, code="method_refused", http=405): ...


# --- IssuanceRefused: the issuer will not mint this for this person

class IssuanceRefused(
    Refusal,
    code="issuance_refused",
    http=403,
    protocol="credential_request_denied",
    advice="Ask at the issuer's counter.",
): ...
class PersonUnknown(
    IssuanceRefused,
    code="person_unknown",
    advice="Check the number or reference; `bauhinia issuer register FILE` adds people to the register.",
): ...
class EnrolmentUnknown(
    IssuanceRefused,
    code="enrolment_unknown",
    advice="Use the id that `bauhinia issuer enrol` printed, or enrol the person first.",
): ...
class AlreadyEnrolled(
    IssuanceRefused,
    code="already_enrolled",
    http=409,
    advice="Use the enrolment there is, or revoke it with `bauhinia issuer revoke --all` first.",
): ...
class ConsentMissing(
    IssuanceRefused,
    code="guardian_consent_missing",
    advice="The parent or guardian in the register consents with `--guardian`, or at the counter.",
): ...
class TooYoung(IssuanceRefused, code="too_young"): ...
class NotEntitled(IssuanceRefused, code="not_entitled"): ...
class TypeWithheld(
    IssuanceRefused,
    code="type_withheld",
    advice="It was revoked on purpose; `bauhinia issuer revoke --lift` ends that.",
): ...
class EnrolmentRevoked(
    IssuanceRefused,
    code="enrolment_revoked",
    advice="Enrol the person anew: `bauhinia issuer enrol`.",
): ...
class RegisterRowInvalid(IssuanceRefused, code="register_row_invalid"): ...
class RealNumberRefused(
    IssuanceRefused,
    code="real_number_refused",
    advice="Made-up people carry the prefix Q or QQ.",
): ...
class StatusListFull(IssuanceRefused, code="status_list_full", http=503): ...
class MintRefused(Fault, code="mint_refused"):
    """The issuer was about to sign something the format or the catalogue forbids."""



# --- HolderRefused: the wallet protects its holder

class HolderRefused(
    Refusal,
    code="holder_refused",
    http=403,
    protocol="access_denied",
    advice="Nothing was sent.",
): ...
class ConsentDeclined(HolderRefused, code="consent_declined"): ...
class NoMatchingCredential(
    HolderRefused,
    code="no_matching_credential",
    advice="Around a birthday statements are missing for a few days; `bauhinia wallet sync` fetches them.",
): ...
class VerifierUnregistered(
    HolderRefused,
    code="verifier_unregistered",
    advice="Show it only to a verifier you chose yourself; the trust list does not know this one.",
): ...
class OverAsking(
    HolderRefused,
    code="over_asking",
    advice="The verifier asks for more than it is registered for. Nothing was sent.",
):
    """``asked`` is what goes beyond, as names of the catalogue: pairs of credential type and claim."""

    asked: tuple[tuple[str, str], ...] = ()

class CopiesExhausted(
    HolderRefused,
    code="copies_exhausted",
    advice="Fetch fresh copies: `bauhinia wallet sync`.",
): ...
class CredentialNotAccepted(
    HolderRefused,
    code="credential_not_accepted",
    advice="Nothing was kept. Try again; if it happens again, tell the issuer.",
):
    """What the issuer sent is not what was asked for."""



# --- Fault: our own side

class ConfigurationInvalid(
    Fault,
    code="configuration_invalid",
    advice="Mend the option, setting or file that is named, and run the command again.",
): ...
class DevelopmentKeyRefused(
    ConfigurationInvalid,
    code="development_key_refused",
    advice="Keys made by `bauhinia trust init` are for development; production needs its own.",
): ...
class PortInUse(ConfigurationInvalid, code="port_in_use", advice="Choose another --port."): ...
class VaultMissing(
    ConfigurationInvalid,
    code="vault_missing",
    advice="Check --data; `bauhinia wallet init` makes a wallet.",
): ...
class RandomnessRepeated(Fault, code="randomness_repeated"): ...
class NetworkForbidden(Fault, code="network_forbidden"):
    """Something tried to open a socket or look up a name where that is forbidden."""

class NetworkUnavailable(
    Fault,
    code="network_unavailable",
    http=502,
    advice="Check that the other side is running and that this machine is online, then try again.",
): ...
class PeerRefused(
    Fault,
    code="peer_refused",
    http=502,
    advice="Start again with a fresh link; if it happens again, ask the other side.",
):
    """The other party answered with an error."""

class StoreUnavailable(
    Fault,
    code="store_unavailable",
    http=503,
    protocol="temporarily_unavailable",
    advice="Try again: another command may be writing, or the disk is full.",
): ...
class StoreInvalid(Fault, code="store_invalid"): ...
class VaultLocked(
    Fault,
    code="vault_locked",
    advice="The passphrase is wrong, or the vault file was changed.",
): ...
class VaultInvalid(
    Fault,
    code="vault_invalid",
    advice="Restore from a backup with `bauhinia wallet restore`, or make a new wallet.",
): ...
class VaultRolledBack(
    Fault,
    code="vault_rolled_back",
    advice="An older copy was put back, whose copies may be spent: `bauhinia wallet sync --discard-copies`.",
): ...
class BackupInvalid(
    Fault,
    code="backup_invalid",
    advice="Check the passphrase, and that the file is the one that `bauhinia wallet export` wrote.",
): ...
class FileUnreadable(
    Fault,
    code="file_unreadable",
    advice="Check the path and who may read or write it.",
): ...
class ImageUnreadable(
    Malformed,
    code="image_unreadable",
    advice="Hold the code flat, well lit and whole in the picture.",
): ...

# fmt: on


def every_error() -> list[type[BauhiniaError]]:
    """All classes of the tree, root first, each once."""

    def below(cls: type[BauhiniaError]) -> list[type[BauhiniaError]]:
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in below(child))]

    return list(dict.fromkeys(below(BauhiniaError)))

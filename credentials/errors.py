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

    def __init__(self, detail: str = "", *, hint: str = "") -> None:
        super().__init__(detail or self.code.replace("_", " "))
        self.hint = hint or self.advice


class Refusal(BauhiniaError):
    """They gave me something wrong."""

    code = "refused"


class Undetermined(BauhiniaError):
    """I cannot know now; never to be read as yes, nor as no."""

    code = "undetermined"
    http = 503
    protocol = "temporarily_unavailable"


class Fault(BauhiniaError):
    """Our own side: configuration, storage, network, vault."""

    code = "fault"
    http = 500
    protocol = "server_error"


# --- Malformed: the bytes are not what they claim to be -----------------------------------------------------


class Malformed(Refusal):
    code = "malformed"


class TooLarge(Malformed):
    code = "too_large"
    http = 413


class Base64Malformed(Malformed):
    code = "base64_malformed"


class JsonMalformed(Malformed):
    code = "json_malformed"


class CborMalformed(Malformed):
    code = "cbor_malformed"


class JwsMalformed(Malformed):
    code = "jws_malformed"


class JweMalformed(Malformed):
    code = "jwe_malformed"


class KeyMalformed(Malformed):
    code = "key_malformed"


class SdJwtMalformed(Malformed):
    code = "sdjwt_malformed"


class DisclosureMalformed(Malformed):
    code = "disclosure_malformed"


class MdocMalformed(Malformed):
    code = "mdoc_malformed"


class CertificateMalformed(Malformed):
    code = "certificate_malformed"


class HkidMalformed(Malformed):
    code = "hkid_malformed"
    advice = "Type the letters, six digits and the character in brackets as printed on the card."


class HkidCheckFailed(Malformed):
    code = "hkid_check_failed"
    advice = "One character was mistyped: compare with the card."


class CatalogueMalformed(Fault):
    code = "catalogue_malformed"


# --- Untrusted: nobody I trust vouches for it ---------------------------------------------------------------


class Untrusted(Refusal):
    code = "untrusted"
    http = 403
    protocol = "access_denied"


class AlgorithmRefused(Untrusted):
    code = "algorithm_refused"


class SignatureInvalid(Untrusted):
    code = "signature_invalid"


class TypMismatch(Untrusted):
    code = "typ_mismatch"


class ChainInvalid(Untrusted):
    code = "chain_invalid"
    advice = "`bauhinia trust show` prints the certificates that are trusted, and for what."


class CertificateExpired(ChainInvalid):
    code = "certificate_expired"


class CertificatePurpose(ChainInvalid):
    code = "certificate_purpose"


class IssuerUnknown(Untrusted):
    code = "issuer_unknown"


class IssuerOutOfScope(Untrusted):
    code = "issuer_out_of_scope"


class SignerRetired(Untrusted):
    code = "signer_retired"


class TrustListInvalid(Untrusted):
    code = "trust_list_invalid"


class TrustListExpired(Untrusted):
    code = "trust_list_expired"
    advice = "Fetch the current list with `sync`."


class TrustListRolledBack(Untrusted):
    code = "trust_list_rolled_back"


# --- CredentialRefused: the credential or its presentation does not hold -----------------------------------


class CredentialRefused(Refusal):
    code = "credential_refused"
    protocol = "invalid_request"


class CredentialExpired(CredentialRefused):
    code = "credential_expired"
    advice = "Ask the issuer for fresh copies: `bauhinia wallet sync`."


class CredentialNotYetValid(CredentialRefused):
    code = "credential_not_yet_valid"


class TypeMismatch(CredentialRefused):
    code = "type_mismatch"


class DigestMismatch(CredentialRefused):
    code = "digest_mismatch"


class DigestRepeated(CredentialRefused):
    code = "digest_repeated"


class DigestAlgorithmRefused(CredentialRefused):
    code = "digest_algorithm_refused"


class ClaimNameForbidden(CredentialRefused):
    code = "claim_name_forbidden"


class ClaimCollision(CredentialRefused):
    code = "claim_collision"


class ClaimMustNotHide(CredentialRefused):
    code = "claim_must_not_hide"


class HolderBindingMissing(CredentialRefused):
    code = "holder_binding_missing"


class HolderBindingInvalid(CredentialRefused):
    code = "holder_binding_invalid"


class AudienceMismatch(CredentialRefused):
    code = "audience_mismatch"


class NonceMismatch(CredentialRefused):
    code = "nonce_mismatch"


class PresentationStale(CredentialRefused):
    code = "presentation_stale"


class DisclosureHashMismatch(CredentialRefused):
    code = "disclosure_hash_mismatch"


class TransactionDataMismatch(CredentialRefused):
    code = "transaction_data_mismatch"
    protocol = "invalid_transaction_data"


class DeviceAuthInvalid(CredentialRefused):
    code = "device_auth_invalid"


class DeviceDataUnauthorised(CredentialRefused):
    code = "device_data_unauthorised"


# --- StatusRefused: its status says no, or its status list is wrong ----------------------------------------


class StatusRefused(Refusal):
    code = "status_refused"


class Revoked(StatusRefused):
    code = "revoked"


class Suspended(StatusRefused):
    code = "suspended"


class StatusValueUnknown(StatusRefused):
    code = "status_value_unknown"


class StatusIndexOutOfRange(StatusRefused):
    code = "status_index_out_of_range"


class StatusReferenceInvalid(StatusRefused):
    code = "status_reference_invalid"


class StatusMissing(StatusRefused):
    code = "status_missing"


class StatusListInvalid(StatusRefused):
    code = "status_list_invalid"


class StatusListRolledBack(StatusRefused):
    code = "status_list_rolled_back"


class StatusListTooSmall(StatusRefused):
    code = "status_list_too_small"


# --- Undetermined ------------------------------------------------------------------------------------------


class StatusUnavailable(Undetermined):
    code = "status_unavailable"
    advice = "Fetch the lists ahead of time: `bauhinia verifier sync --from URL`."


class StatusStale(Undetermined):
    code = "status_stale"
    advice = "Fetch the lists again: `bauhinia verifier sync --from URL`."


# --- ProtocolRefused: OpenID4VCI, OpenID4VP or OAuth was not followed --------------------------------------


class ProtocolRefused(Refusal):
    code = "protocol_refused"


class RequestInvalid(ProtocolRefused):
    code = "request_invalid"


class UriRefused(ProtocolRefused):
    code = "uri_refused"


class ClientIdInvalid(ProtocolRefused):
    code = "client_id_invalid"
    protocol = "invalid_client"


class RequestObjectInvalid(ProtocolRefused):
    code = "request_object_invalid"


class RequestExpired(ProtocolRefused):
    code = "request_expired"


class RequestConsumed(ProtocolRefused):
    code = "request_consumed"
    http = 410


class NonceReplayed(ProtocolRefused):
    code = "nonce_replayed"
    http = 409


class StateMismatch(ProtocolRefused):
    code = "state_mismatch"


class ResponseEncryptionInvalid(ProtocolRefused):
    code = "response_encryption_invalid"


class ResponseInvalid(ProtocolRefused):
    code = "response_invalid"


class QueryInvalid(ProtocolRefused):
    code = "query_invalid"


class QueryNotSatisfied(ProtocolRefused):
    code = "query_not_satisfied"


class SessionNotBound(ProtocolRefused):
    code = "session_not_bound"
    http = 403
    protocol = "access_denied"


class TransactionUnknown(ProtocolRefused):
    code = "transaction_unknown"
    http = 404


class GrantInvalid(ProtocolRefused):
    code = "grant_invalid"
    protocol = "invalid_grant"


class TxCodeInvalid(GrantInvalid):
    code = "tx_code_invalid"


class TxCodeLocked(GrantInvalid):
    code = "tx_code_locked"
    advice = "Ask the issuer for a new offer."


class PkceInvalid(GrantInvalid):
    code = "pkce_invalid"


class ClientAuthenticationFailed(ProtocolRefused):
    code = "client_authentication_failed"
    http = 401
    protocol = "invalid_client"


class TokenInvalid(ProtocolRefused):
    code = "token_invalid"
    http = 401
    protocol = "invalid_token"


class DpopInvalid(ProtocolRefused):
    code = "dpop_invalid"
    protocol = "invalid_dpop_proof"


class DpopNonceRequired(ProtocolRefused):
    code = "dpop_nonce_required"
    protocol = "use_dpop_nonce"


class ProofInvalid(ProtocolRefused):
    code = "proof_invalid"
    protocol = "invalid_proof"


class CredentialNonceInvalid(ProtocolRefused):
    code = "credential_nonce_invalid"
    protocol = "invalid_nonce"


class CredentialRequestInvalid(ProtocolRefused):
    code = "credential_request_invalid"
    protocol = "invalid_credential_request"


class ConfigurationUnknown(ProtocolRefused):
    code = "configuration_unknown"
    protocol = "unknown_credential_configuration"


class IdentifierUnknown(ProtocolRefused):
    code = "identifier_unknown"
    protocol = "unknown_credential_identifier"


class NotificationUnknown(ProtocolRefused):
    code = "notification_unknown"
    protocol = "invalid_notification_id"


class MetadataInvalid(ProtocolRefused):
    code = "metadata_invalid"


class OfferInvalid(ProtocolRefused):
    code = "offer_invalid"


class ApiKeyInvalid(ProtocolRefused):
    code = "api_key_invalid"
    http = 401
    protocol = "access_denied"


class CsrfRefused(ProtocolRefused):
    code = "csrf_refused"
    http = 403
    protocol = "access_denied"


class HostRefused(ProtocolRefused):
    code = "host_refused"


class MediaTypeRefused(ProtocolRefused):
    code = "media_type_refused"
    http = 415


class RateLimited(ProtocolRefused):
    code = "rate_limited"
    http = 429
    protocol = "temporarily_unavailable"
    advice = "Wait a minute and try again."


class NotFound(ProtocolRefused):
    code = "not_found"
    http = 404


class MethodRefused(ProtocolRefused):
    code = "method_refused"
    http = 405


# --- IssuanceRefused: the issuer will not mint this for this person ----------------------------------------


class IssuanceRefused(Refusal):
    code = "issuance_refused"
    http = 403
    protocol = "credential_request_denied"


class PersonUnknown(IssuanceRefused):
    code = "person_unknown"


class EnrolmentUnknown(IssuanceRefused):
    code = "enrolment_unknown"


class AlreadyEnrolled(IssuanceRefused):
    code = "already_enrolled"
    http = 409


class ConsentMissing(IssuanceRefused):
    code = "guardian_consent_missing"
    advice = "A parent or guardian consents with `--guardian`, or at the counter."


class TooYoung(IssuanceRefused):
    code = "too_young"


class NotEntitled(IssuanceRefused):
    code = "not_entitled"


class EnrolmentRevoked(IssuanceRefused):
    code = "enrolment_revoked"


class RegisterRowInvalid(IssuanceRefused):
    code = "register_row_invalid"


class StatusListFull(IssuanceRefused):
    code = "status_list_full"
    http = 503


class MintRefused(Fault):
    """The issuer was about to sign something the format or the catalogue forbids."""

    code = "mint_refused"


# --- HolderRefused: the wallet protects its holder ---------------------------------------------------------


class HolderRefused(Refusal):
    code = "holder_refused"
    http = 403
    protocol = "access_denied"


class ConsentDeclined(HolderRefused):
    code = "consent_declined"


class NoMatchingCredential(HolderRefused):
    code = "no_matching_credential"


class VerifierUnregistered(HolderRefused):
    code = "verifier_unregistered"
    advice = "Show it only to a verifier you chose yourself; the trust list does not know this one."


class OverAsking(HolderRefused):
    code = "over_asking"
    advice = "The verifier asks for more than it is registered for. Nothing was sent."


class CopiesExhausted(HolderRefused):
    code = "copies_exhausted"
    advice = "Fetch fresh copies: `bauhinia wallet sync`."


class CredentialNotAccepted(HolderRefused):
    """What the issuer sent is not what was asked for."""

    code = "credential_not_accepted"


# --- Fault: our own side -----------------------------------------------------------------------------------


class ConfigurationInvalid(Fault):
    code = "configuration_invalid"


class DevelopmentKeyRefused(ConfigurationInvalid):
    code = "development_key_refused"
    advice = "Keys made by `bauhinia trust init` are for development; production needs its own."


class RandomnessRepeated(Fault):
    code = "randomness_repeated"


class NetworkForbidden(Fault):
    """Something tried to open a socket or look up a name where that is forbidden."""

    code = "network_forbidden"


class NetworkUnavailable(Fault):
    code = "network_unavailable"
    http = 502


class PeerRefused(Fault):
    """The other party answered with an error."""

    code = "peer_refused"
    http = 502


class StoreUnavailable(Fault):
    code = "store_unavailable"
    http = 503
    protocol = "temporarily_unavailable"


class StoreInvalid(Fault):
    code = "store_invalid"


class VaultLocked(Fault):
    code = "vault_locked"
    advice = "The passphrase is wrong, or the vault file was changed."


class VaultInvalid(Fault):
    code = "vault_invalid"


class VaultRolledBack(Fault):
    code = "vault_rolled_back"
    advice = "An older copy of the vault was put back: spent copies could be shown twice. Re-issue instead."


class BackupInvalid(Fault):
    code = "backup_invalid"


class FileUnreadable(Fault):
    code = "file_unreadable"


class ImageUnreadable(Malformed):
    code = "image_unreadable"
    advice = "Hold the code flat, well lit and whole in the picture."


def every_error() -> list[type[BauhiniaError]]:
    """All classes of the tree, root first, each once."""

    def below(cls: type[BauhiniaError]) -> list[type[BauhiniaError]]:
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in below(child))]

    return list(dict.fromkeys(below(BauhiniaError)))

"""What Artifact Registry may answer where its documentation is silent."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Answers:
    """One field for each open question of docs/artifact-registry.md; the defaults are best guesses.

    Attributes:
        bearer_token_writes: An access token sent as it is works for writing too, not only to read.
        unknown_token_is_challenged: A token that is not accepted is answered with
            WWW-Authenticate, as no token is.
        issued_token_has_scopes: A token of /v2/token is good for the scopes it was asked for only.
        cross_project_mount: A blob can be mounted from another project.
        unreadable_mount: The answer to a mount from a repository that the caller may not read; 201
            if nobody checks.
        mount_without_source: The answer to a mount without `from`, if a repository that the caller
            may read has the blob.
        blob_redirect: The status that sends a download to where the bytes are.
        download_refuses_authorization: Where the bytes are, an Authorization header is an error.
        upload_session_elsewhere: An upload goes on outside /v2/, where no token is asked for.
        transfer_encoding: A body in chunked transfer-encoding is taken in.
        same_digest_again: What an immutable tag names already may be pushed to it again.
        immutable_tag_status: The status with which an immutable tag is defended.
        absent_blobs_code: The error for a manifest that refers to what is not there.
        absent_blobs_status: Its status.
        absent_subject: A manifest may come before its subject.
        referrers_lag: How many lists of referrers a new referrer is missing from.
        referrer_sizes_are_true: The list of referrers has the sizes of the manifests.
        referrer_tags: The registry itself maintains the fallback tag of each subject.
    """

    bearer_token_writes: bool = True
    unknown_token_is_challenged: bool = True
    issued_token_has_scopes: bool = False
    cross_project_mount: bool = True
    unreadable_mount: Literal[201, 202, 403] = 202
    mount_without_source: Literal[201, 202] = 201
    blob_redirect: Literal[302, 307] = 302
    download_refuses_authorization: bool = False
    upload_session_elsewhere: bool = True
    transfer_encoding: bool = False
    same_digest_again: bool = True
    immutable_tag_status: int = 400
    absent_blobs_code: Literal["BLOB_UNKNOWN", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID"] = (
        "BLOB_UNKNOWN"
    )
    absent_blobs_status: Literal[400, 404] = 400
    absent_subject: bool = True
    referrers_lag: int = 0
    referrer_sizes_are_true: bool = True
    referrer_tags: bool = False

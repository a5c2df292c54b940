"""The list of tags as Google extends it: with what they name, and what is without a tag."""

from collections import defaultdict

from dev.storage import Digest, Manifest, Repository


def inventory(repository: Repository, tags: list[str], untagged: bool) -> dict[str, object]:
    """Describe the manifests that these tags name, by digest, and those without any tag."""
    names: dict[Digest, list[str]] = defaultdict(list)
    for tag in tags:
        if target := repository.target_of(tag):
            names[target].append(tag)
    tagged = {repository.target_of(tag) for tag in repository.tags(absent_ok=True)}
    return {
        str(manifest.digest): _entry(repository, manifest, names[manifest.digest])
        for manifest in repository.manifests()
        if names[manifest.digest] or (untagged and manifest.digest not in tagged)
    }


def _entry(repository: Repository, manifest: Manifest, tags: list[str]) -> dict[str, object]:
    fields = manifest.fields
    parts = [*([fields.config] if fields.config else []), *(fields.layers or [])]
    milliseconds = str(int(repository.time_of(manifest.digest) * 1000))
    return {
        "imageSizeBytes": str(sum(part.size for part in parts)),
        "layerId": "",
        "mediaType": manifest.media_type,
        "tag": tags,
        "timeCreatedMs": milliseconds,
        "timeUploadedMs": milliseconds,
    }

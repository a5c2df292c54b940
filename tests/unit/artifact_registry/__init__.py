"""The profile answers as Artifact Registry is documented to, and either way where it is not."""

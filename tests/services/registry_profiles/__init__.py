"""Registries by name, each with the ways that its documentation and public reports of bugs describe."""
from tests.services.registry_profiles.clouds import Acr, Ecr, EcrPublic, Gar, Kubernetes, Mcr
from tests.services.registry_profiles.hub_and_github import DockerHub, GitHub, Scarf
from tests.services.registry_profiles.products import (
    Artifactory, Gitea, GitLab, Harbor, Nexus, NexusWithTokens, Quay, QuayOfToday, Zot,
)
from tests.services.registry_profiles.profile import Profile

PROFILES: tuple[type[Profile], ...] = (
    Profile, DockerHub, Ecr, EcrPublic, Gar, GitHub, GitLab, Harbor, Quay, QuayOfToday, Artifactory, Nexus,
    NexusWithTokens, Acr, Mcr, Kubernetes, Scarf, Gitea, Zot)

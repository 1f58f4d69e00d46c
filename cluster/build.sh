#!/bin/sh
# Build the image of all nodes: build.sh REPOSITORY [cuda|cpu]; tags REPOSITORY:VERSION-TARGET, by pyproject.toml
set -eu
repository=${1:?give a repository, e.g. registry.example.com/p2i_ray}
target=${2:-cuda}
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
[ -n "$version" ] || { echo "error: pyproject.toml has no version" >&2; exit 2; }
docker build --file cluster/Dockerfile --target "$target" --build-arg "VERSION=$version" \
  --tag "$repository:$version-$target" .
echo "$repository:$version-$target"

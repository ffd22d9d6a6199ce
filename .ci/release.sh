#!/usr/bin/env bash
# Whether a release says the same everywhere: the tag, pyproject.toml, CITATION.cff, and a section of CHANGELOG.md.
#
#   .ci/release.sh v0.1.0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[[ "${1:-}" =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]] || { echo "error: got tag '${1:-}', expected one such as v0.1.0" >&2; exit 2; }
readonly version=${1#v}

says() {
  grep --quiet --fixed-strings --line-regexp "$1" "$2" || { echo "error: $2 has no line: $1" >&2; exit 1; }
}

says "version = \"$version\"" pyproject.toml
says "version: $version" CITATION.cff
grep --quiet "^## $version, 20[0-9][0-9]-[01][0-9]-[0-3][0-9]$" CHANGELOG.md ||
  { echo "error: CHANGELOG.md has no section: ## $version, YEAR-MONTH-DAY" >&2; exit 1; }
echo "version $version: tag, pyproject.toml, CITATION.cff and CHANGELOG.md agree"

#!/usr/bin/env bash
# Create .venv with the locked packages and this project, unless it is there and up to date (then: silence).
#
#   scripts/setup.sh                    with Python 3.10, found on PATH, in pyenv or through uv
#   PYTHON=python3.12 scripts/setup.sh  with this one; on anything newer than 3.10 everything but Lava is installed
#
# .venv/.ready is written last and identifies what was installed. Without it .venv is what an interrupted set-up left,
# and is made anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly wanted=3.10 venv=.venv ready=.venv/.ready

fail() {
  echo "error: $*" >&2
  exit 2
}

# Prints "3.10" for an interpreter; fails for one that is absent or, as a pyenv shim can be, there but not working.
version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# Prints the path of the first of some interpreters that is a working Python 3.10, outside any virtual environment.
first_wanted() {
  local candidate
  for candidate in "$@"; do
    if [ "$(version_of "$candidate")" = "$wanted" ]; then
      "$candidate" -c 'import sys; print(sys._base_executable)'
      return
    fi
  done
  return 1
}

# Prints the path of a uv that works.
find_uv() {
  local candidate
  for candidate in uv "$HOME/.local/bin/uv" "$HOME/.cargo/bin/uv"; do
    if "$candidate" --version >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

find_python() {
  first_wanted python$wanted python3 python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/$wanted*/bin/python && return
  [ -n "$uv" ] || return 1
  "$uv" python find --system $wanted 2>/dev/null && return
  "$uv" python install $wanted >&2 && "$uv" python find --system $wanted
}

# Both tools leave what is already right in .venv as it is.
install_with_uv() {
  "$uv" venv --quiet --allow-existing --python "$python" $venv
  "$uv" pip install --python $venv/bin/python -r requirements.lock
  "$uv" pip install --quiet --python $venv/bin/python --no-deps --no-build-isolation -e .
}

install_with_pip() {
  "$python" -m venv $venv || fail "$python cannot make a virtual environment; install its venv module" \
    "(on Debian and Ubuntu: apt install python$(version_of "$python")-venv), or uv"
  $venv/bin/python -m pip install -r requirements.lock
  $venv/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
}

existing=$(version_of $venv/bin/python) || existing=none
if [ -n "${PYTHON:-}" ]; then
  version=$(version_of "$PYTHON") || fail "PYTHON=$PYTHON does not run; give the name or path of Python $wanted or newer"
  case $version in
    2.* | 3.[0-9]) fail "PYTHON=$PYTHON is Python $version, expected $wanted or newer" ;;
  esac
else
  version=$existing
fi
state=$({ pwd && cat requirements.lock pyproject.toml; } | cksum)
finished=$(cat $ready 2>/dev/null) || finished=none
if [ "$finished" = "$state" ] && [ "$existing" = "$version" ]; then
  exit 0
fi

uv=$(find_uv) || uv=""
if [ -n "${PYTHON:-}" ]; then
  python=$(command -v "$PYTHON")
else
  python=$(find_python) || fail "no Python $wanted on PATH, in pyenv or through uv; install one (such as" \
    "'uv python install $wanted' or 'pyenv install $wanted'), or do without Lava: PYTHON=python3.12 make test"
fi
if [ "$finished" = none ] || [ "$existing" != "$(version_of "$python")" ]; then
  rm -rf $venv
fi
rm -f $ready
echo "Installing the locked packages into $venv with $python (once; about 6 GB where torch brings CUDA)"
if [ -n "$uv" ]; then install_with_uv; else install_with_pip; fi
echo "$state" >$ready

# Sourced by the scripts beside it and by .ci/run: a virtual environment that holds this checkout, made once.
#
#   . scripts/venv.sh; need_venv run|dev|docs     afterwards $venv/bin/python is there; "dev" adds the tools for tests and
#                                                 checks, "docs" what builds the documentation, too
#
# The environment is .venv in the checkout. It is made by the first of venv, uv and virtualenv that works, with the
# first Python >= 3.11 found (PYTHON=… names one), and its stamp remembers what was installed from where: as long as
# pyproject.toml and the checkout's place are the same, nothing is fetched and nothing is asked. Without a stamp it is
# completed, and made anew if it was left half made. AFUNIX_VENV=DIR names an environment to be used as it is.
# POSIX sh; sets root and venv, touches nothing but the environment.
# shellcheck shell=sh

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
unset PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK=1

need_venv() {
    if [ -n "${AFUNIX_VENV:-}" ]; then
        venv=$AFUNIX_VENV
        [ -x "$venv/bin/python" ] || fail "AFUNIX_VENV=$venv holds no bin/python"
    else
        venv=$root/.venv
        make_venv "$venv" "$1"
    fi
}

# make_venv DIR run|dev|docs: DIR becomes an environment with this checkout installed as editable, if it is not one already.
make_venv() {
    checked=$(cksum <"$root/pyproject.toml")
    stamped=
    [ -f "$1/afunix-stamp" ] && [ -x "$1/bin/python" ] && stamped=$(cat "$1/afunix-stamp")
    [ "$stamped" = "docs $checked $root" ] && return
    [ "$stamped" = "dev $checked $root" ] && [ "$2" != docs ] && return
    [ "$stamped" = "$2 $checked $root" ] && return
    say "setting up $1 (once; this may fetch packages)"
    is_usable "$1" || create_venv "$1"
    rm -f "$1/afunix-stamp"
    {
        write_requirements "$1" "$2" &&
            install_into "$1" --editable "$root" --requirement "$1/afunix-requirements.txt"
    } || fail "the packages that afunix needs could not be installed into $1" \
        "see the lines above; the first run needs the network (PIP_INDEX_URL names another index), later runs do not"
    printf '%s\n' "$2 $checked $root" >"$1/afunix-stamp"
}

# create_venv DIR: an empty environment with a Python >= 3.11, by whatever here can make one.
create_venv() {
    rm -rf "$1"
    python=$(find_python 'venv, ensurepip') && "$python" -m venv "$1" && return
    rm -rf "$1"
    python=$(find_python sys) || python=
    if has uv; then
        uv venv --quiet --python "${python:->=3.11}" "$1" && return
    fi
    [ -n "$python" ] || fail "no Python 3.11 or newer was found (looked for ${PYTHON:-python3, python3.14 … python3.11})" \
        "install one, or name it: PYTHON=/path/to/python3 $0"
    if has virtualenv; then
        virtualenv --quiet --python "$python" "$1" && return
    fi
    if "$python" -c 'import virtualenv' >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet "$1" && return
    fi
    rm -rf "$1"
    fail "$python cannot make a virtual environment (no venv with ensurepip), and neither uv nor virtualenv is there" \
        "Debian and Ubuntu: apt install python3-venv; elsewhere install uv or virtualenv; then run this again"
}

# find_python MODULES: the first Python >= 3.11 that can import them.
find_python() {
    modules=$1
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else
        set -- python3 python3.14 python3.13 python3.12 python3.11 python
    fi
    for candidate; do
        if "$candidate" -c "import sys, $modules; sys.exit(sys.version_info < (3, 11))" >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# is_usable DIR: a whole environment, whoever made it, that something here can install into.
is_usable() {
    "$1/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)' \
        >/dev/null 2>&1 && { has_pip "$1" || has uv; }
}

# has_pip DIR: pip with all of its files; an interrupted ensurepip leaves one that starts and then fails.
has_pip() {
    "$1/bin/python" - >/dev/null 2>&1 <<'END'
from importlib.metadata import files
sources = [file for file in files("pip") or () if file.suffix == ".py"]
raise SystemExit(not sources or not all(file.locate().exists() for file in sources))
END
}

# write_requirements DIR run|dev|docs: pip learnt to read [dependency-groups] only in 25.1, so its lines are written out.
write_requirements() {
    case $2 in
        run) groups= ;;
        dev) groups=dev ;;
        docs) groups='dev docs' ;;
    esac
    # shellcheck disable=SC2086  # one argument a group
    "$1/bin/python" -c 'import sys, tomllib
with open(sys.argv[1], "rb") as file:
    groups = tomllib.load(file)["dependency-groups"] if sys.argv[2:] else {}
for name in sys.argv[2:]:
    print(*groups[name], sep="\n")' \
        "$root/pyproject.toml" $groups >"$1/afunix-requirements.txt"
}

# install_into DIR ARGUMENTS: `pip install` or `uv pip install`; both know the same arguments.
install_into() {
    into=$1
    shift
    if has_pip "$into"; then
        "$into/bin/python" -m pip install --quiet "$@"
    else
        uv pip install --quiet --python "$into/bin/python" "$@"
    fi
}

has() { command -v "$1" >/dev/null 2>&1; }

say() { printf '%s: %s\n' "${0##*/}" "$1" >&2; }

fail() {
    say "error: $1"
    [ -z "${2:-}" ] || say "hint: $2"
    exit 1
}

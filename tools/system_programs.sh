#!/bin/sh
# Two programs come from the operating system: bubblewrap (the sandbox that grading runs in) and Chromium (the
# browser of the browser tests). As root on a Debian-like system this installs what is missing; elsewhere it says
# what to install. It always ends well: without them the tests that need them are skipped, and counted as skipped.
set -u

have() { for name in "$@"; do command -v "$name" >/dev/null 2>&1 && return 0; done; return 1; }
have_sandbox() { have bwrap; }
have_browser() { have chromium chromium-browser google-chrome; }

missing=""
have_sandbox || missing="$missing bubblewrap"
have_browser || missing="$missing chromium fonts-dejavu-core"

if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && have apt-get; then
    echo "Installing system programs:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # one word for each package
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing || echo "apt-get did not succeed."
fi

have_sandbox || echo "Install bubblewrap (Linux only): without it nothing is graded and the sandbox tests are skipped."
have_browser || echo "Install Chromium: without it the browser tests are skipped."
exit 0

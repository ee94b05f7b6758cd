#!/usr/bin/env bash
# Names what this machine lacks, and how to get it. Usage: preflight.sh (python|java|maven)…, or preflight.sh --print-python
set -u
missing=0

lack() { # lack WHAT HOW…
  printf 'missing: %s\n' "$1" >&2
  shift
  printf '         %s\n' "$@" >&2
  missing=1
}

python_command() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3 python; do
    if [ "$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = 3.11 ]; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  return 1
}

check_python() {
  local python
  if ! python=$(python_command); then
    lack "Python 3.11 (looked for ${PYTHON:+$PYTHON, }python3.11, python3 and python in PATH)" \
      'Debian 12: apt-get install python3.11 python3.11-venv' \
      'Ubuntu:    add-apt-repository ppa:deadsnakes/ppa && apt-get install python3.11 python3.11-venv' \
      'macOS:     brew install python@3.11' \
      'elsewhere: pyenv install 3.11; name it with make PYTHON=/path/to/python3.11'
  elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lack "the venv module of $python (Debian and Ubuntu package it apart)" \
      'apt-get install python3.11-venv'
  fi
}

check_java() {
  local java=java found
  if [ -n "${JAVA_HOME:-}" ]; then
    java=$JAVA_HOME/bin/java
    if [ ! -x "$java" ]; then
      lack "a JDK at JAVA_HOME=$JAVA_HOME: it has no bin/java" \
        'set JAVA_HOME to the folder of a JDK 17, or unset it to use the java in PATH'
      return
    fi
  fi
  found=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  if [ "$found" != 17 ]; then
    lack "JDK 17 (${JAVA_HOME:+JAVA_HOME=$JAVA_HOME: }$java is ${found:+version }${found:-not there})" \
      'Debian, Ubuntu: apt-get install openjdk-17-jdk-headless' \
      'macOS:          brew install openjdk@17' \
      'elsewhere:      sdk install java 17-tem   (sdkman)' \
      'with several JDKs, JAVA_HOME chooses: make JAVA_HOME=/path/to/jdk-17'
  fi
}

check_maven() {
  if ! command -v mvn >/dev/null; then
    lack 'Maven (mvn in PATH)' \
      'Debian, Ubuntu: apt-get install maven' \
      'macOS:          brew install maven' \
      'elsewhere:      sdk install maven   (sdkman)'
  fi
}

if [ "${1:-}" = --print-python ]; then
  python_command
  exit
fi
for need in "$@"; do
  "check_$need"
done
exit "$missing"

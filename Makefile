# SPDX-License-Identifier: Apache-2.0
# make demo    sets everything up, then plays a recorded camera through the real node
# make test    ruff and the whole test suite, as CI runs them; ARGS='-m "not live"': the quick part
# make venv    only the virtual environment; ROS_DISTRO=jazzy takes that distribution's wheels
# make clean   removes what was built, but keeps the environments (.venv*) and demo/

PYTHON ?= python3
# From the command line only: a shell with ROS 2 sourced has it set, and the environment made here
# stands on its own wheels.
ROS_DISTRO = kilted
VENV = $(if $(filter kilted,$(ROS_DISTRO)),.venv,.venv-$(ROS_DISTRO))
export ROS_DISTRO
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH PYTHONHOME RMW_IMPLEMENTATION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE VIRTUAL_ENV
ifdef AMENT_PREFIX_PATH
unexport LD_LIBRARY_PATH
endif
# COMPLETE: all requirements are installed. BUILT: the messages beside the Python code, which is used
# in place, were built by this environment; building removes the mark of another distribution's.
COMPLETE = $(VENV)/.complete
BUILT = diception_ros/msg/.$(ROS_DISTRO)
SOURCES = pyproject.toml setup.py constraints.txt CMakeLists.txt package.xml diception_ros/__init__.py \
	$(wildcard msg/* resource/* launch/* config/*)
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
ARGS ?=

.PHONY: demo test venv clean FORCE

demo: venv
	$(VENV)/bin/diception demo $(ARGS)

test: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/python -m pytest test $(ARGS)

venv: $(BUILT)

# New requirements: everything anew. A new message, launch file, ...: only the package.
$(BUILT): $(SOURCES) $(if $(wildcard $(COMPLETE)),,FORCE)
	@fail() { echo "$$1" >&2; exit 1; }; \
	command -v $(PYTHON) >/dev/null \
	  || fail '$(PYTHON) is missing: sudo apt install python3, or make PYTHON=...'; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || fail "$$($(PYTHON) --version) is too old: 3.10 or newer, e.g. make PYTHON=python3.12"; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || fail 'python3-venv is missing: sudo apt install python3-venv'; \
	command -v $${CXX:-g++} >/dev/null || fail 'g++ is missing: sudo apt install g++'; \
	$(PYTHON) -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' \
	  2>/dev/null || fail "Python's headers are missing: sudo apt install python3-dev"
	@if [ ! -e $(COMPLETE) ] || \
	  [ -n "$$(find pyproject.toml setup.py constraints.txt -newer $(COMPLETE))" ]; then \
	  echo 'Setting up $(VENV): some minutes the first time'; set -ex; \
	  $(PIP) --version 2>/dev/null || $(PYTHON) -m venv --clear $(VENV); \
	  $(PIP) install --quiet --constraint constraints.txt pip setuptools wheel; \
	  $(PIP) install --constraint constraints.txt --build-constraint constraints.txt \
	    --progress-bar off --no-compile --editable '.[all,build-$(ROS_DISTRO),test]'; \
	  touch $(COMPLETE); \
	else \
	  set -ex; $(PIP) install --quiet --no-build-isolation --no-deps --editable .; \
	fi
	@touch $@

clean:
	rm -rf build dist install log *.egg-info .ruff_cache .pytest_cache .hypothesis
	rm -rf diception_ros/msg diception_ros/*.so
	find diception_ros test -name __pycache__ -prune -exec rm -rf {} +

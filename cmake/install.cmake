# The program, and the Python module that calls it: one copy for all interpreters, where Debian's look for modules under /usr.
include(GNUInstallDirs)
set(MEMSNAP_PYTHON_DIR lib/python3/dist-packages CACHE STRING "where the Python module is installed, below the prefix")
install(TARGETS memsnap RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/scripts/python/memsnap DESTINATION ${MEMSNAP_PYTHON_DIR}
        FILES_MATCHING PATTERN "*.py" PATTERN "__pycache__" EXCLUDE)

message("this interpreter is not on this machine: scripts/pythons fetches it")

"""``python -m vampconv``, and the command ``vampconv``."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to clean up while modules are imported

from vampconv.cli import main

if __name__ == "__main__":
    main()

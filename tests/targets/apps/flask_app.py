"""Flask on gevent's server: what is kept is a local variable of a greenlet that sleeps."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import flask  # noqa: E402
import gevent  # noqa: E402
import gevent.pywsgi  # noqa: E402

import kept  # noqa: E402

application = flask.Flask(__name__)


@application.route("/")
def page():
    gevent.sleep(0.002)
    return flask.render_template_string("{% for n in numbers %}{{ n }} {% endfor %}", numbers=range(100))


def hold():
    held = tuple(kept.some())
    gevent.sleep(10000)
    return held


gevent.spawn(hold)
gevent.pywsgi.WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()

"""Django behind gunicorn: views, templates, sessions in signed cookies."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template import engines
from django.urls import path

import kept

settings.configure(
    SECRET_KEY="a test", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEBUG=False,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}])
django.setup()

KEPT = kept.some()
PAGE = engines["django"].from_string("<ul>{% for n in numbers %}<li>{{ n }}</li>{% endfor %}</ul>")


def page(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(PAGE.render({"numbers": range(50)}, request))


urlpatterns = [path("", page)]
application = get_wsgi_application()

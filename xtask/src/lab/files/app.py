"""The lab's shop: every page is made from a query to the database, over TLS, in a connection of its own."""
import html
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pymysql

DATABASE, AUTHORITY = sys.argv[1:3]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def products():
    connection = pymysql.connect(
        host=DATABASE, user="shop", password="shop", database="shop", connect_timeout=5, read_timeout=5,
        ssl={"ca": AUTHORITY, "check_hostname": True},
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT name, price FROM products ORDER BY id")
        return cursor.fetchall()


def page(_environment, start_response):
    try:
        rows = products()
    except Exception as error:
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [f"no database: {error}\n".encode()]
    items = "".join(f"<li>{html.escape(name)}: {price}</li>\n" for name, price in rows)
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [f"<h1>Shop</h1>\n<ul>\n{items}</ul>\n".encode()]


make_server("127.0.0.1", 8000, page, Server, QuietHandler).serve_forever()

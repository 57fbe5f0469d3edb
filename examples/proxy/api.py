"""Stands for the API: says who called."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        told = [self.headers.get("X-Attested-" + name, "") for name in ("Instance", "Client", "Tier")]
        body = "instance {} of {}, {}\n".format(*told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", 8001), Api).serve_forever()

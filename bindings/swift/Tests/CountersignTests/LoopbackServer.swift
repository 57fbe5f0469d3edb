import Foundation

#if canImport(Glibc)
import Glibc
private let stream = Int32(SOCK_STREAM.rawValue)
#else
import Darwin
private let stream = SOCK_STREAM
#endif

/// A small HTTP server on 127.0.0.1 that answers as a test says, one request per connection, and remembers what came.
final class LoopbackServer: @unchecked Sendable {
    struct Request: Sendable {
        let method: String
        let target: String
        /// By name in lower case.
        let fields: [String: String]
        let body: Data
    }

    enum Reply: Sendable {
        case answer(Int, [String: String] = [:], Data = Data())
        /// A body of `enough` bytes, if they are taken.
        case endless
        /// Nothing at all, until the other side goes away.
        case silence
    }

    /// More than anybody should take in.
    static let enough = 32 << 20

    let origin: String
    private let listener: Int32
    private let reply: @Sendable (Request, Int) -> Reply
    private let lock = NSLock()
    private var seen: [Request] = []
    private var sent = 0

    /// `reply` is given each request, and its number from 0.
    init(_ reply: @escaping @Sendable (Request, Int) -> Reply) throws {
        self.reply = reply
        listener = socket(AF_INET, stream, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let port = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 64) == 0
                    && getsockname(listener, address, &length) == 0
            } ? UInt16(bigEndian: pointer.pointee.sin_port) : 0
        }
        guard port != 0 else { throw CocoaError(.fileNoSuchFile) }
        origin = "http://127.0.0.1:\(port)"
        Thread.detachNewThread { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0, let server = self else { return }
                Thread.detachNewThread { server.serve(connection) }
            }
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)); close(listener) }

    /// The requests so far.
    var requests: [Request] { lock.withLock { seen } }

    /// Bytes of endless bodies that were taken.
    var endlessBytes: Int { lock.withLock { sent } }

    func url(_ path: String) -> URL { URL(string: origin + path) ?? URL(fileURLWithPath: "/") }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        #if !canImport(Glibc)
        // In place of a flag of `send`, which is Linux's: a client that goes away must not end the tests.
        var on: Int32 = 1
        setsockopt(connection, SOL_SOCKET, SO_NOSIGPIPE, &on, socklen_t(MemoryLayout<Int32>.size))
        #endif
        guard let request = read(connection) else { return }
        let number = lock.withLock {
            seen.append(request)
            return seen.count - 1
        }
        switch reply(request, number) {
        case .answer(let status, let fields, let body):
            var head = "HTTP/1.1 \(status) Words\r\nContent-Length: \(body.count)\r\nConnection: close\r\n"
            for (name, value) in fields { head += "\(name): \(value)\r\n" }
            _ = write(Data((head + "\r\n").utf8) + (request.method == "HEAD" ? Data() : body), to: connection)
        case .endless:
            _ = write(Data("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".utf8), to: connection)
            // No faster than a client can take it in, and not really without end: a test must not fill the machine.
            let piece = Data(repeating: 0x20, count: 16 * 1024)
            while endlessBytes < Self.enough, write(piece, to: connection) {
                lock.withLock { sent += piece.count }
                usleep(1_000)
            }
        case .silence:
            var byte: UInt8 = 0
            while recv(connection, &byte, 1, 0) > 0 {}
        }
    }

    private func read(_ connection: Int32) -> Request? {
        var bytes = Data()
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        let end = Data("\r\n\r\n".utf8)
        while true {
            if let head = bytes.range(of: end) {
                let lines = String(decoding: bytes[..<head.lowerBound], as: UTF8.self).components(separatedBy: "\r\n")
                let words = lines[0].split(separator: " ")
                guard words.count == 3 else { return nil }
                var fields: [String: String] = [:]
                for line in lines.dropFirst() {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    guard parts.count == 2 else { continue }
                    fields[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
                }
                let length = fields["content-length"].flatMap { Int($0) } ?? 0
                if bytes.count - head.upperBound >= length {
                    let body = Data(bytes[head.upperBound..<head.upperBound + length])
                    return Request(method: "\(words[0])", target: "\(words[1])", fields: fields, body: body)
                }
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0, bytes.count < 1 << 20 else { return nil }
            bytes.append(contentsOf: buffer[..<count])
        }
    }

    /// Whether the other side took everything.
    private func write(_ data: Data, to connection: Int32) -> Bool {
        data.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = send(connection, bytes.baseAddress?.advanced(by: done), bytes.count - done, noSignal)
                guard count > 0 else { return false }
                done += count
            }
            return true
        }
    }
}

#if canImport(Glibc)
private let noSignal = Int32(MSG_NOSIGNAL)
#else
private let noSignal: Int32 = 0
#endif

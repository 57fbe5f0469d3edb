
/// Whether the library is the one that this code was generated from. Nothing else here may be called if it is not: the
/// generated code ends the process then.
public func libraryIsOfThisVersion() -> Bool {
    if case .ok = initializationResult { true } else { false }
}

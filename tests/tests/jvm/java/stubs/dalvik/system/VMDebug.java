package dalvik.system;

/** Android's virtual machine knows its debuggers. */
public final class VMDebug {
    private VMDebug() {}

    public static boolean isDebuggerConnected() { return Boolean.getBoolean("countersign.debugger"); }
}

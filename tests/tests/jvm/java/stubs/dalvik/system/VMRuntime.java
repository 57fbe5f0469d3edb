package dalvik.system;

/** Android's virtual machine knows its processor. */
public final class VMRuntime {
    private static final VMRuntime RUNTIME = new VMRuntime();

    private VMRuntime() {}

    public static VMRuntime getRuntime() { return RUNTIME; }

    public boolean is64Bit() { return true; }

    public int getTargetSdkVersion() { return 34; }
}

package android.util;

/** Android's log writes by native code. This one keeps quiet. */
public final class Log {
    private Log() {}

    public static int v(String tag, String text) { return 0; }

    public static int d(String tag, String text) { return 0; }

    public static int i(String tag, String text) { return 0; }

    public static int w(String tag, String text) { return 0; }

    public static int w(String tag, String text, Throwable thrown) { return 0; }

    public static int e(String tag, String text) { return 0; }

    public static int e(String tag, String text, Throwable thrown) { return 0; }

    public static int wtf(String tag, String text) { return 0; }

    public static boolean isLoggable(String tag, int level) { return false; }
}

package android.os;

/** Android reads its properties by native code. Here they are those of an official build. */
public final class SystemProperties {
    private SystemProperties() {}

    public static String get(String name) { return get(name, ""); }

    public static String get(String name, String otherwise) {
        switch (name) {
            case "ro.product.cpu.abilist": case "ro.product.cpu.abilist64": return "arm64-v8a";
            case "ro.build.version.all_codenames": return "REL";
            case "ro.build.tags": return "release-keys";
            case "ro.build.type": return "user";
            case "ro.hardware": return "virtual";
            case "ro.product.model": return "Virtual Phone";
            case "ro.product.manufacturer": return "Nobody";
            default: return otherwise;
        }
    }

    public static int getInt(String name, int otherwise) {
        return name.equals("ro.build.version.sdk") ? 34 : otherwise;
    }

    public static long getLong(String name, long otherwise) { return otherwise; }

    public static boolean getBoolean(String name, boolean otherwise) { return otherwise; }
}

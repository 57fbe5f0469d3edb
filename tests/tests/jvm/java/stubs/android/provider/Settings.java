package android.provider;

import android.content.ContentResolver;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Android asks another process for its settings. These are in memory. */
public final class Settings {
    private Settings() {}

    public static final class Global {
        public static final Map<String, Integer> VALUES = new ConcurrentHashMap<>();

        private Global() {}

        public static int getInt(ContentResolver resolver, String name, int otherwise) {
            return VALUES.getOrDefault(name, otherwise);
        }
    }
}

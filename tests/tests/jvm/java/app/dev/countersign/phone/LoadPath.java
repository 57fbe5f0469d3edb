package dev.countersign.phone;

import android.content.Context;
import android.content.ContextWrapper;
import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import com.sun.jna.Structure;
import dev.countersign.internal.NativeLibrary;
import java.nio.charset.StandardCharsets;

/** Loads the library as the Kotlin face does, and calls through both ways into it. */
public final class LoadPath {
    private static com.sun.jna.NativeLibrary library;

    private LoadPath() {}

    public static void main(String[] arguments) throws Exception {
        String file = arguments[1];
        Context context = new AppContext(arguments[2]);
        ClassLoader loader = LoadPath.class.getClassLoader();
        switch (arguments[0]) {
            case "jna first":
                loadByJna(file);
                sayAttached();
                sayVersion("version");
                loadByJava(file);
                sayAttached();
                say("attach: " + NativeLibrary.attach(context, loader));
                sayAttached();
                sayVersion("version");
                Thread other = new Thread(() -> sayVersion("version on another thread"));
                other.start();
                other.join();
                break;
            case "java first":
                loadByJava(file);
                say("attach: " + NativeLibrary.attach(context, loader));
                loadByJna(file);
                sayAttached();
                sayVersion("version");
                break;
            default:
                loadByJava(file);
                say("attach: " + NativeLibrary.attach(null, loader));
                say("attach: " + NativeLibrary.attach(context, null));
                say("attach: " + NativeLibrary.attach(new Hostile(), loader));
                say("attach: " + NativeLibrary.attach(context, loader));
        }
    }

    private static void loadByJna(String file) {
        library = com.sun.jna.NativeLibrary.getInstance(file);
        say("loaded by JNA");
    }

    private static void loadByJava(String file) {
        System.load(file);
        say("loaded by Java");
    }

    private static void sayAttached() {
        Function function = library.getFunction("uniffi_countersign_ffi_fn_func_android_is_attached");
        say("attached: " + ((byte) function.invokeInt(new Object[] {new Memory(64)}) != 0));
    }

    /** An optional string as uniffi writes it: one octet, four of length, the text. */
    private static void sayVersion(String name) {
        Function function = library.getFunction("uniffi_countersign_ffi_fn_func_android_app_version");
        Buffer buffer = (Buffer) function.invoke(Buffer.class, new Object[] {new Memory(64)});
        byte[] octets = buffer.data.getByteArray(0, (int) buffer.length);
        String text = octets[0] == 0 ? null : new String(octets, 5, octets.length - 5, StandardCharsets.UTF_8);
        say(name + ": " + text);
    }

    private static void say(String line) {
        System.out.println("> " + line);
    }

    /** What uniffi hands over. */
    @Structure.FieldOrder({"capacity", "length", "data"})
    public static final class Buffer extends Structure implements Structure.ByValue {
        public long capacity;
        public long length;
        public Pointer data;
    }

    /** A context that cannot be asked. */
    private static final class Hostile extends ContextWrapper {
        Hostile() {
            super(null);
        }

        @Override public Context getApplicationContext() { throw new IllegalStateException("%s%n"); }
    }
}

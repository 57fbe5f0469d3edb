package dev.countersign.internal;

/** The class of the Kotlin face by which it hands the virtual machine over; there it is an object of Kotlin. */
public final class NativeLibrary {
    private NativeLibrary() {}

    public static native String attach(Object context, ClassLoader loader);
}
